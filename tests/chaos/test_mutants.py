"""The harness finds faulty programs: each of these passes every undisturbed run."""

from __future__ import annotations

import pytest

from tests.chaos.check import bag, wrong
from tests.chaos.mutants import MUTANTS
from tests.chaos.sweep import scenarios

KINDS = ("death", "power: nothing", "power: names")


@pytest.mark.timeout(300)
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: m.name)
def test_a_faulty_program_is_found_out(mutant, place):
    late = next(s for s in scenarios(place / "files") if s.name == "sealing late")
    bench, start = late.bench(place)
    recording = bench.record(start, lag=late.lag, swallow=mutant.swallow, mutate=mutant.mutate)
    assert recording.sites > 40
    assert any(
        {"lost": trial.lost, "repeated": trial.repeated, "wrong": len(trial.wrong)}[mutant.symptom]
        for trial in bench.trials(recording, KINDS)
    )


def test_a_whole_ledger_is_right_and_a_spoiled_one_is_not(place):
    fresh = scenarios(place / "files")[0]
    bench, start = fresh.bench(place)
    records = bench.records(bench.record(start).end)
    assert not wrong(records)
    for number in range(len(records)):
        less = [r for n, r in enumerate(records) if n != number]
        if bag(less) != bag(records):
            assert wrong(less), f"without {records[number]} it is still right"
