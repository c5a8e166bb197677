"""Whole runs with the scripted engine, in this process and in processes that get killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from hashlib import sha256
from pathlib import Path

import datasets
import pytest

from factory import run
from factory.errors import EngineError, FactoryError, LedgerError, RecipeError
from factory.ledger import Ledger, scan
from factory.ledger.records import Partial
from factory.types import Rollout, Verdict

SLOW = "engine.tokens_per_second=20"


def quiet(_: str) -> None:
    pass


def digests(dataset: Path) -> dict[str, str]:
    return {
        str(p.relative_to(dataset)): sha256(p.read_bytes()).hexdigest()
        for p in sorted(dataset.rglob("*.parquet"))
    }


def rollouts(folder: Path) -> Counter:
    if not (folder / "ledger").exists():
        return Counter()
    return Counter(r.key for r in scan(folder / "ledger") if isinstance(r, Rollout))


def command(sums, folder, *more):
    return [sys.executable, "-m", "factory", "run", sums.file(), "--out", folder, *more]


def test_a_run_ends_in_a_dataset_that_loads(sums, tmp_path):
    result = run.run(sums.recipe(), tmp_path / "run", quiet)
    assert result.complete
    assert result.counts.problems == 30
    assert result.counts.rollouts == 30 * 6
    assert result.counts.judged == 30 * 6
    loaded = datasets.load_dataset(str(tmp_path / "run" / "dataset"), cache_dir=str(tmp_path / "c"))
    assert list(loaded) == ["train"]
    rows = loaded["train"].to_list()
    assert len(rows) == result.dataset.accepted > 30
    for row in rows:
        assert row["messages"][0]["content"] == row["problem"]
        assert row["messages"][1]["content"].endswith(f"\\boxed{{{row['answer']}}}.")
        assert row["messages"][1]["content"].startswith("<think>\n")
    # at most one of each scripted text is left per problem
    assert max(Counter((r["problem"], r["messages"][1]["content"]) for r in rows).values()) == 1
    everything = datasets.load_dataset(
        str(tmp_path / "run" / "dataset"), "all", cache_dir=str(tmp_path / "c")
    )
    assert len(everything["train"]) == 180


def test_again_is_nothing_left_to_do_and_changes_no_byte(sums, tmp_path):
    first = run.run(sums.recipe(), tmp_path / "run", quiet)
    before = digests(tmp_path / "run" / "dataset")
    again = run.run(sums.recipe(), tmp_path / "run", quiet)
    assert first.worked
    assert not again.worked
    assert again.dataset == first.dataset
    assert digests(tmp_path / "run" / "dataset") == before
    run.make_dataset(tmp_path / "run")
    assert digests(tmp_path / "run" / "dataset") == before


def test_more_problems_later_are_added_and_the_old_ones_left_alone(sums, tmp_path):
    run.run(sums.recipe("limit=10"), tmp_path / "run", quiet)
    old = rollouts(tmp_path / "run")
    result = run.run(sums.recipe("limit=12"), tmp_path / "run", quiet)
    assert result.counts.problems == 12
    new = rollouts(tmp_path / "run")
    assert len(new) == 72
    assert all(new[key] == 1 for key in old)


def test_killed_anywhere_and_run_again_loses_and_repeats_nothing(sums, tmp_path):
    undisturbed = run.run(sums.recipe(), tmp_path / "whole", quiet)
    folder = tmp_path / "killed"
    seen: Counter = Counter()
    kills = 0
    for attempt in range(6):
        process = subprocess.Popen(
            command(sums, folder, "--set", SLOW),
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 30
        while len(rollouts(folder)) < len(seen) + 10 and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(0.11 * attempt)
        os.killpg(process.pid, signal.SIGKILL)
        kills += process.wait() == -signal.SIGKILL
        now = rollouts(folder)
        assert all(now[key] == count for key, count in seen.items()), "a ledgered rollout is gone"
        seen = now
    assert kills == 6
    assert seen, "nothing was ever written: the kills came too early to prove anything"
    assert len(seen) < 180, "the run was over before it was killed"
    done = subprocess.run(command(sums, folder, "--set", SLOW), check=False, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert set(rollouts(folder).values()) == {1}
    assert len(rollouts(folder)) == undisturbed.counts.rollouts
    verdicts = Counter(v.key for v in scan(folder / "ledger") if isinstance(v, Verdict))
    assert set(verdicts.values()) == {1}
    texts = {r.key: r.completion for r in scan(tmp_path / "whole" / "ledger") if _is_rollout(r)}
    again = {r.key: r.completion for r in scan(folder / "ledger") if _is_rollout(r)}
    assert again == texts


def _is_rollout(record) -> bool:
    return isinstance(record, Rollout)


def test_term_drains_in_good_order_and_the_next_command_continues(sums, tmp_path):
    folder = tmp_path / "run"
    process = subprocess.Popen(
        command(sums, folder, "--set", "engine.tokens_per_second=12"), stderr=subprocess.PIPE
    )
    deadline = time.monotonic() + 60
    while not (
        (folder / "ledger").exists()
        and any(isinstance(r, Partial) for r in scan(folder / "ledger"))
    ):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert b"the same command goes on" in errors
    assert not (folder / "ledger" / "lock").exists()
    logged = Counter()
    for record in scan(folder / "ledger"):
        if isinstance(record, Partial):
            logged[record.key] += len(record.token_ids)
    # The engine's speed is part of the recipe on record: go on with the same one.
    result = subprocess.run(
        command(sums, folder, "--set", "engine.tokens_per_second=12", "--limit", "3"),
        check=False,
        capture_output=True,
        timeout=120,
    )
    assert result.returncode == 0, result.stderr
    continued = [r for r in scan(folder / "ledger") if _is_rollout(r) and r.restarts]
    assert continued
    assert {r.key for r in continued} >= set(logged) - {k for k, n in logged.items() if not n}


def test_dying_engine_is_replaced_and_nothing_is_lost(sums, tmp_path):
    given = sums.recipe("engine.die_after=100", "engine.tokens_per_second=60")
    result = run.run(given, tmp_path / "run", quiet)
    assert result.complete
    assert result.counts.rollouts == 180
    assert set(rollouts(tmp_path / "run").values()) == {1}
    assert result.counts.continued > 0


def test_failing_requests_are_tried_again(sums, tmp_path):
    result = run.run(sums.recipe("engine.fail_share=0.1"), tmp_path / "run", quiet)
    assert result.counts.rollouts >= 170
    assert result.complete


def test_engine_that_cannot_start_is_a_clear_error_and_the_ledger_is_whole(sums, tmp_path):
    sums.script.write_text("no json\n", encoding="utf-8")
    with pytest.raises(EngineError, match=r"script\.jsonl:1"):
        run.run(sums.recipe(), tmp_path / "run", quiet)
    assert not (tmp_path / "run" / "ledger" / "lock").exists()
    list(scan(tmp_path / "run" / "ledger"))


def test_refused_prompt_sets_one_problem_aside(sums, tmp_path):
    prompt = json.loads(sums.problems.read_text(encoding="utf-8").splitlines()[3])["prompt"]
    result = run.run(sums.recipe(f"engine.refuse={json.dumps([prompt])}"), tmp_path / "run", quiet)
    assert result.counts.closed == {"complete": 29, "refused": 1}
    assert result.counts.rejects == {"refused": 1}


def test_bad_rows_are_counted_and_the_rest_goes_on(sums, tmp_path):
    lines = sums.problems.read_text(encoding="utf-8").splitlines()
    lines[1] = "{broken"
    lines[2] = json.dumps({"prompt": "What is 1 + 1?"})
    lines[3] = json.dumps({"prompt": "", "answer": "2"})
    lines[4] = lines[5]
    lines[6] = json.dumps({"prompt": "Name the answer that no parser reads.", "answer": "\\frac{"})
    sums.problems.write_text("\n".join(lines) + "\n", encoding="utf-8")
    result = run.run(sums.recipe(), tmp_path / "run", quiet)
    assert result.complete
    assert result.counts.problems == 25
    assert result.counts.rejects.total() == 5
    again = run.run(sums.recipe(), tmp_path / "run", quiet)
    assert again.counts.rejects == result.counts.rejects


def test_nothing_usable_is_an_error_before_an_engine_starts(sums, tmp_path):
    sums.problems.write_text('{"prompt": "What?"}\n', encoding="utf-8")
    with pytest.raises(FactoryError, match=r"no usable problem.*1 no_answer"):
        run.run(sums.recipe(), tmp_path / "run", quiet)


def test_another_recipe_is_refused_with_the_difference(sums, tmp_path):
    run.run(sums.recipe("limit=2"), tmp_path / "run", quiet)
    with pytest.raises(LedgerError) as caught:
        run.run(sums.recipe("limit=2", "policy.n=7"), tmp_path / "run", quiet)
    assert "-  n: 6" in str(caught.value)
    assert "+  n: 7" in str(caught.value)
    run.run(sums.recipe("limit=2", "traces.max_per_problem=1"), tmp_path / "run", quiet)
    loaded = datasets.load_dataset(
        str(tmp_path / "run" / "dataset"), split="train", cache_dir=str(tmp_path / "c")
    )
    assert max(Counter(loaded["problem_id"]).values()) == 1


def test_judging_again_replaces_verdicts_without_generating(sums, tmp_path):
    folder = tmp_path / "run"
    result = run.run(sums.recipe(), folder, quiet)
    assert run.rejudge(folder, quiet) == 0
    changed = run.rejudge(folder, quiet, ["verifiers=[{name: tests.never_sure}]"])
    assert changed == 180
    assert run.make_dataset(folder).counts.accepted == 0
    assert len(rollouts(folder)) == result.counts.rollouts
    with pytest.raises(RecipeError, match="alone"):
        run.rejudge(folder, quiet, ["policy.n=9"])


def test_logged_tokens_have_no_gap_and_what_continues_them_no_hole(sums, tmp_path):
    """Drained in the middle of writing, again and again: every text is as if nothing had been."""
    whole = run.run(sums.recipe("limit=8"), tmp_path / "whole", quiet)
    texts = {r.key: r.completion for r in scan(tmp_path / "whole" / "ledger") if _is_rollout(r)}
    folder = tmp_path / "run"
    job = command(sums, folder, "--set", "engine.tokens_per_second=25", "--limit", "8")
    for _ in range(3):
        process = subprocess.Popen(job, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        size = len(list(scan(folder / "ledger"))) if folder.exists() else 0
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and process.poll() is None:
            if (folder / "ledger").exists() and len(list(scan(folder / "ledger"))) > size + 12:
                break
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)
    lengths: Counter = Counter()
    for record in scan(folder / "ledger"):
        if isinstance(record, Partial):
            assert record.start <= lengths[record.key]
            lengths[record.key] = record.start + len(record.token_ids)
    assert lengths
    assert subprocess.run(job, check=False, capture_output=True).returncode == 0
    again = {r.key: r.completion for r in scan(folder / "ledger") if _is_rollout(r)}
    assert again == texts
    assert len(again) == whole.counts.rollouts


def test_a_dataset_of_an_older_ledger_is_made_anew(sums, tmp_path, monkeypatch):
    folder = tmp_path / "run"
    run.run(sums.recipe("limit=4"), folder, quiet)
    with monkeypatch.context() as patch:
        patch.setattr(run, "write", lambda *a, **k: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            run.run(sums.recipe("limit=6"), folder, quiet)
    result = run.run(sums.recipe("limit=6"), folder, quiet)
    assert not result.worked
    assert result.dataset.problems == 6
    run.rejudge(folder, quiet, ["verifiers=[{name: tests.never_sure}]"])
    changed = sums.recipe("limit=6", "verifiers=[{name: tests.never_sure}]")
    assert run.run(changed, folder, quiet).dataset.accepted == 0


def test_a_refused_command_changes_nothing(sums, tmp_path):
    folder = tmp_path / "run"
    run.run(sums.recipe("limit=2"), folder, quiet)
    before = (folder / "recipe.yaml").read_bytes()
    with Ledger(folder / "ledger"):
        for command_ in (
            lambda: run.run(sums.recipe("limit=3", "card.license=mit"), folder, quiet),
            lambda: run.rejudge(folder, quiet, ["judging.timeout_s=9"]),
            lambda: run.make_dataset(folder),
        ):
            with pytest.raises(LedgerError, match="one writer per run"):
                command_()
    assert (folder / "recipe.yaml").read_bytes() == before


def test_a_run_is_curated_where_its_model_is_not(sums, tmp_path):
    folder = tmp_path / "run"
    run.run(sums.recipe("limit=2"), folder, quiet)
    text = (folder / "recipe.yaml").read_text(encoding="utf-8")
    engine = text[text.index("engine:") : text.index("sampling:")]
    elsewhere = text.replace(engine, "engine:\n  name: vllm\n  model: /not/here\n")
    (folder / "recipe.yaml").write_text(elsewhere, encoding="utf-8")
    assert run.make_dataset(folder).counts.accepted > 0
    assert run.rejudge(folder, quiet) == 0


def test_an_engine_that_cannot_be_built_again_ends_the_run(sums, tmp_path):
    """Its script is gone when a dead engine is to be replaced."""
    sums.script.rename(tmp_path / "moved.jsonl")
    given = sums.recipe(f"engine.script={tmp_path / 'moved.jsonl'}", "engine.die_after=20")
    real = run.LocalCrew.make_replica

    def once(self, name):
        if name != "replica-0":
            raise EngineError("the model is gone")
        return real(self, name)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run.LocalCrew, "make_replica", once)
        with pytest.raises(EngineError, match="the model is gone"):
            run.run(given, tmp_path / "run", quiet)


def test_everything_set_aside_is_something_left_undone(sums, tmp_path):
    words = ["--set", "engine.fail_share=1.0", "--limit", "3"]
    done = subprocess.run(
        command(sums, tmp_path / "run", *words), check=False, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "3 problems were set aside" in done.stderr


def test_what_a_killed_curation_left_is_swept_away(sums, tmp_path):
    run.run(sums.recipe(), tmp_path / "run", lambda _: None)
    for name in (".groups-abc", ".clusters-abc"):
        (tmp_path / "run" / name).mkdir()
        (tmp_path / "run" / name / "00000").write_bytes(b"x" * 100)
    run.make_dataset(tmp_path / "run")
    assert not list((tmp_path / "run").glob(".*-abc"))
