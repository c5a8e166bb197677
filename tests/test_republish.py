"""What a grown dataset costs to publish again, with the client's own chunking and deduplication."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import huggingface_hub
import pytest

from factory.card import About
from factory.curation import groups
from factory.curation.curate import curate
from factory.hub import publish
from factory.ledger import Ledger
from factory.shards import Origin
from factory.traces import TraceOptions
from factory.types import Completion, Outcome, Problem, Rollout, Sampling, Verdict, problem_id
from tests.hub_double import HubDouble

TOKEN = "hf_alice0123456789secret"
WORDS = [f"{n:x}" for n in random.Random(0).sample(range(1 << 24), 20_000)]


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubDouble]:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", False)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    with HubDouble(tmp_path / "hub", xet=True) as hub:
        hub.add_user("alice", TOKEN)
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        yield hub
        huggingface_hub.close_session()


def sample(ledger: Path, numbers: range, rollouts: int = 4) -> None:
    """Problems with their rollouts, every second one right, onto the end of the ledger."""
    with Ledger(ledger) as records:
        for number in numbers:
            prompt = f"Problem {number}?"
            problem = Problem(id=problem_id(prompt), prompt=prompt, answer="1", verifier="math")
            records.append(problem)
            rng = random.Random(number)
            for index in range(rollouts):
                text = " ".join(rng.choices(WORDS, k=400))
                completion = Completion(text=f"<think>{text}</think>{index}", num_tokens=400)
                made = {"problem_id": problem.id, "index": index}
                records.append(Rollout(**made, model="m", completion=completion))
                right = index % 2 == 0
                records.append(
                    Verdict(
                        **made,
                        outcome=Outcome.CORRECT if right else Outcome.INCORRECT,
                        reward=float(right),
                        extracted=str(index),
                        detail="",
                        verifier="math",
                        verifier_version="1",
                    )
                )
        records.seal()


def make(ledger: Path, folder: Path) -> int:
    """The dataset of the ledger, and its size."""
    result = curate(
        groups.read(ledger),
        folder,
        TraceOptions(near_duplicates=None),
        about=About(title="t", model="m"),
        origin=Origin(sampling=Sampling()),
    )
    return sum(shard.num_bytes for shard in result.shards)


def test_five_per_cent_more_problems_upload_less_than_fifteen_per_cent(
    hub: HubDouble, tmp_path: Path
) -> None:
    ledger, folder = tmp_path / "run" / "ledger", tmp_path / "run" / "dataset"
    sample(ledger, range(2000))
    make(ledger, folder)
    publish(folder, "alice/traces", token=TOKEN)
    store = hub.store_of(TOKEN)
    before = store.stored_bytes
    sample(ledger, range(2000, 2100))
    whole = make(ledger, folder)
    publish(folder, "alice/traces", token=TOKEN)
    new = store.stored_bytes - before
    print(f"{whole / 1e6:.1f} MB, {new / whole:.1%} new")
    assert 0.04 < new / whole < 0.15


def test_a_dataset_made_again_uploads_nothing(hub: HubDouble, tmp_path: Path) -> None:
    ledger = tmp_path / "run" / "ledger"
    sample(ledger, range(50))
    for name in ("a", "b"):
        make(ledger, tmp_path / name)
    publish(tmp_path / "a", "alice/traces", token=TOKEN)
    again = publish(tmp_path / "b", "alice/traces", token=TOKEN)
    assert (again.commit, again.uploaded_files) == (None, 0)
