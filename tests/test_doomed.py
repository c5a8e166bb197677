"""Detectors: what they must find, what they must leave alone, and how they are held to account."""

from __future__ import annotations

import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factory import run
from factory.ledger import scan, standing
from factory.ledger.records import Audit
from factory.report.aborts import Found
from factory.report.counts import Counts
from factory.report.status import status
from factory.scheduling.doomed import Aborts, Watch, Watcher
from factory.types import Outcome, Rollout, RolloutKey

DETECTORS = ("loop", "degenerate", "room", "answered")
WORDS = [f"{a}{b}" for a in ("be", "ca", "do", "fu", "gi") for b in ("nt", "st", "mp", "rl", "x")]


def found(text, *, step=40, budget=10**9, **options):
    """(detector, characters read) of the first find in a text that comes in pieces."""
    aborts = Aborts(detectors=options.pop("detectors", DETECTORS), **options)
    watcher = Watcher(Watch(aborts=aborts, detectors=aborts.detectors, audit=False), budget)
    for start in range(0, len(text), step):
        piece = text[start : start + step]
        if name := watcher.add(piece, len(piece)):
            return name, start + len(piece)
    return None, len(text)


def prose(size, seed=0):
    rng = random.Random(seed)
    text = ""
    while len(text) < size:
        text += rng.choice(WORDS) + rng.choice([" ", " ", " ", ", ", ". ", "\n"])
    return text[:size]


@given(
    period=st.integers(1, 90),
    step=st.integers(1, 700),
    before=st.integers(0, 5000),
    seed=st.integers(0, 10**6),
)
@settings(max_examples=60, deadline=None)
def test_a_loop_is_found_soon_after_it_covers_its_span(period, step, before, seed):
    unit = "".join(
        random.Random(seed).sample("abcdefghijklmnopqrstuvwxyz0123456789 .+=-" * 3, period)
    )
    text = prose(before, seed) + unit * (6000 // period + 1)
    name, at = found(text, step=step, detectors=("loop",))
    assert name == "loop"
    assert at <= before + 1200 + 2 * 300 + 2 * step + period


@given(seed=st.integers(0, 10**6), repeats=st.integers(1, 11), step=st.integers(1, 300))
@settings(max_examples=60, deadline=None)
def test_what_is_said_eleven_times_is_no_loop_yet(seed, repeats, step):
    unit = prose(150, seed)
    text = prose(3000, seed + 1) + unit * repeats + prose(3000, seed + 2)
    assert found(text, step=step) == (None, len(text))


def test_a_text_that_only_counts_on_says_nothing():
    text = "".join(f"Let me check this once more, from the start, step {n}.\n" for n in range(400))
    assert found(text, detectors=("degenerate",))[0] == "degenerate"


def test_noise_is_no_text():
    rng = random.Random(0)
    noise = "".join(rng.choice("\ufffd\ufffdabc\x01\x02hij") for _ in range(9000))
    assert found(noise, detectors=("degenerate",))[0] == "degenerate"


@pytest.mark.parametrize("language", ["the sum of ", "これは問題の", "сумма равна "])
def test_reasoning_in_any_language_with_numbers_is_left_alone(language):
    rng = random.Random(1)
    parts = (f"{language}{rng.randrange(10**6)} {rng.choice(WORDS)} " for _ in range(3000))
    assert found("<think>\n" + "".join(parts))[0] is None


def test_open_reasoning_at_the_end_of_its_tokens_has_no_room():
    text = "<think>\n" + prose(480)
    assert found(text, budget=500, room=30, step=1, detectors=("room",)) == ("room", 471)
    assert found(text[:400] + "</think>\n" + prose(80), budget=500, room=30, step=1)[0] is None
    assert found(prose(490), budget=500, room=30, step=1)[0] is None  # it never opened any


def test_talk_behind_the_final_answer():
    answer = "<think>\nI try \\boxed{3}.\n</think>\nIt is \\boxed{\\frac{1}{2}}."
    behind = prose(3000)
    name, at = found(answer + behind, step=7)
    assert name == "answered"
    assert 0 <= at - len(answer) - 2000 <= 8
    assert found(answer + behind[:1900], step=7)[0] is None
    assert found("<think>\nI try \\boxed{3}.\n" + behind, step=7)[0] is None  # still reasoning


@given(step=st.integers(1, 500), seed=st.integers(0, 99))
@settings(max_examples=20, deadline=None)
def test_the_answer_is_found_however_the_text_is_cut(step, seed):
    text = f"<think>\n{prose(700, seed)}</think>\n{prose(300, seed)}\\boxed{{7}}{prose(4000, seed)}"
    assert found(text, step=step, detectors=("answered",))[0] == "answered"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"audit": 1.5}, r"audit must be in \[0, 1\], got 1.5"),
        ({"times": 2}, "times must be at least 3, got 2"),
        ({"window": 9}, "window must be at least 256, got 9"),
        ({"least": 0}, "least must be at least 1, got 0"),
    ],
)
def test_senseless_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Aborts(**options)


def test_the_audit_share_is_drawn_once_and_for_all():
    aborts = Aborts(audit=0.1)
    keys = [RolloutKey(f"{n:016x}", n % 7) for n in range(5000)]
    drawn = [aborts.audits(key, 3) for key in keys]
    assert drawn == [aborts.audits(key, 3) for key in keys]
    assert 0.08 < sum(drawn) / len(keys) < 0.12
    assert drawn != [aborts.audits(key, 4) for key in keys]
    assert not any(Aborts(audit=0).audits(key, 3) for key in keys)


def test_a_detector_that_cuts_what_is_correct_is_switched_off():
    aborts = Aborts(detectors=("loop", "room"))
    counts = Counts()

    def audit(outcome, times, detector="loop"):
        for _ in range(times):
            counts.add(Audit(problem_id="p", index=0, detector=detector, outcome=outcome))

    def armed():
        return aborts.armed(counts.audited, counts.audited_correct)

    audit(None, 1000)
    audit(Outcome.CORRECT, 1)
    audit(Outcome.INCORRECT, 48)
    audit(Outcome.ERROR, 10)  # tells nothing
    assert armed() == ("loop", "room")
    audit(Outcome.UNPARSABLE, 1)
    assert armed() == ("room",)  # 1 of 50
    assert counts.false_aborts == (
        "loop: 1,000 cut, 1 of 50 audited correct = 2.0% (0.4% to 10.5%), about 0 tokens saved"
    )
    audit(Outcome.INCORRECT, 50)
    assert armed() == ("loop", "room")  # 1 of 100


class Talkers:
    """Problems whose wrong completions loop, and a recipe that looks for it."""

    def __init__(self, sums, spoiled=False):
        rows = [json.loads(s) for s in sums.script.read_text(encoding="utf-8").splitlines()]
        for row in rows:
            right = row["completions"][0]
            looping = "<think>\n" + "so it is, or it is not. " * 60
            end = right.removeprefix("<think>\n") if spoiled else "</think>\nno idea"
            row["completions"] = [right, looping + end]
        sums.write(sums.script, rows)
        self.sums = sums

    def run(self, folder, *changes):
        lines = []
        given = self.sums.recipe(
            "policy={name: fixed, n: 8}",
            "aborts={detectors: [loop], span: 240, least: 20}",
            *changes,
        )
        assert run.run(given, folder, lines.append).complete
        rollouts = [r for r in scan(folder / "ledger") if isinstance(r, Rollout)]
        return rollouts, standing.read(folder / "ledger")


def test_doomed_rollouts_are_cut_audited_and_told(sums, tmp_path):
    rollouts, state = Talkers(sums).run(tmp_path / "run", "aborts.audit=0.2")
    cut = [r for r in rollouts if r.completion.finish_reason == "abort"]
    audited = [r for r in rollouts if r.doomed and r.completion.finish_reason == "stop"]
    assert len(cut) > 50
    assert len(audited) > 5
    for r in (*cut, *audited):
        assert r.doomed == "loop"
        assert 240 <= r.doomed_at <= 1000
    assert all(r.completion.num_tokens == r.doomed_at < 1400 for r in cut)
    assert {r.key for r in audited} == {
        r.key for r in rollouts if r.doomed and Aborts(audit=0.2).audits(r.key, 0)
    }
    counts = state.counts
    assert counts.cut == {"loop": len(cut)}
    assert counts.audited == {"loop": len(audited)}
    assert counts.audited_correct["loop"] == 0
    (line,) = [
        line for line in "\n".join(status(tmp_path / "run")).splitlines() if "found doomed" in line
    ]
    assert f"loop: {len(cut)} cut, 0 of {len(audited)} audited correct = 0.0%" in line
    rest = [r.completion.num_tokens - r.doomed_at for r in audited]
    saved = round(len(cut) * sum(rest) / len(audited))
    assert saved > 0
    assert f"about {saved:,} tokens saved" in line
    assert counts.found["loop"] == Found(
        cut=len(cut), audited=len(audited), audited_correct=0, audited_rest=sum(rest)
    )
    card = (tmp_path / "run" / "dataset" / "README.md").read_text(encoding="utf-8")
    shown = counts.found["loop"].false
    assert f"| loop | {len(cut)} | {len(audited)} | {shown} | {saved:,} |" in card
    live = Counts()  # the same, record by record
    for record in scan(tmp_path / "run" / "ledger"):
        live.add(record)
    assert live.found == counts.found


@pytest.mark.parametrize(
    ("correct", "audited", "low", "high"),
    # Newcombe, Statistics in Medicine 17 (1998), table I, method 3
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
        (0, 0, 0.0, 1.0),
    ],
)
def test_the_interval_of_a_share(correct, audited, low, high):
    found = Found(cut=5, audited=audited, audited_correct=correct)
    assert found.interval == pytest.approx((low, high), abs=1e-4)


def test_a_card_shows_detectors_that_found_nothing(sums, tmp_path):
    Talkers(sums).run(tmp_path / "run", "aborts.span=9000")
    card = (tmp_path / "run" / "dataset" / "README.md").read_text(encoding="utf-8")
    assert "| loop | 0 | 0 | none audited | - |" in card


def test_a_run_switches_off_a_detector_that_spoils_it(sums, tmp_path, capsys):
    rollouts, state = Talkers(sums, spoiled=True).run(
        tmp_path / "run", "aborts.audit=0.5", "engine.slots=2"
    )
    assert state.counts.audited["loop"] >= 20
    assert state.counts.audited_correct["loop"] == state.counts.audited["loop"]
    assert "detector loop is switched off: it cuts what is correct" in capsys.readouterr().err
    whole = [r for r in rollouts if r.completion.num_tokens > 1400 and not r.doomed]
    assert whole  # found by nobody, as nobody looks any more


def test_nothing_is_cut_unless_asked_for(sums, tmp_path):
    rollouts, state = Talkers(sums).run(tmp_path / "run", "aborts.detectors=[]")
    assert not any(r.doomed for r in rollouts)
    assert state.counts.aborted == 0
    assert state.counts.false_aborts == ""
    assert "cut short" not in (tmp_path / "run" / "dataset" / "README.md").read_text("utf-8")
