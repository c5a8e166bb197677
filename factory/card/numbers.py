"""What the run came to, in numbers."""

from __future__ import annotations

from factory.card.facts import CardFacts, Counts
from factory.markdown import count, image, ratio, table


def section(facts: CardFacts) -> dict[str, str]:
    """The parts of the card that hold figures."""
    counts = facts.counts
    return {
        "numbers": "\n\n".join(
            [
                table(("", "count"), _numbers(counts)),
                *(image(title, path) for title, path in facts.plots.items()),
            ]
        ),
        "outcomes": table(("outcome", "rollouts"), counts.outcomes.items()),
        "domains": table(("domain", "problems", "solved", "traces"), _domains(counts)),
        "verifiers": table(("verifier", "correct", "judged", "could not tell"), _judges(counts)),
    }


def _numbers(counts: Counts) -> list[tuple[str, str]]:
    share = f" ({counts.solved / counts.problems:.1%})" if counts.problems else ""
    kept = f" ({counts.accepted / counts.rollouts:.1%} of all)" if counts.rollouts else ""
    forks = [
        ("forks of other rollouts, in no pass rate", count(counts.forks)),
        ("tokens that forks took over, not generated again", count(counts.shared_tokens)),
    ]
    return [
        ("problems", count(counts.problems)),
        ("problems solved", count(counts.solved) + share),
        ("rollouts", count(counts.rollouts)),
        ("rollouts judged", count(counts.judged)),
        ("rollouts correct", count(counts.correct)),
        ("traces accepted", count(counts.accepted) + kept),
        ("pass@1", "-" if counts.pass_at_1 is None else f"{counts.pass_at_1:.1%}"),
        ("tokens generated", count(counts.tokens)),
        ("tokens in accepted traces", count(counts.accepted_tokens)),
        ("tokens per accepted trace", ratio(counts.accepted_tokens, counts.accepted)),
        ("tokens generated per accepted trace", ratio(counts.tokens, counts.accepted)),
        *(forks if counts.forks else []),
    ]


def _domains(counts: Counts) -> list[tuple[object, ...]]:
    columns = ("problems", "solved", "accepted")
    return [(name or "-", *map(of.get, columns)) for name, of in counts.domains.items()]


def _judges(counts: Counts) -> list[tuple[object, ...]]:
    rows: list[tuple[object, ...]] = []
    for name, outcomes in counts.verifiers.items():
        judged = sum(outcomes.get(o, 0) for o in ("correct", "incorrect", "unparsable"))
        rows.append((name, outcomes.get("correct", 0), judged, sum(outcomes.values()) - judged))
    return rows
