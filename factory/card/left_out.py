"""What is not in the dataset, or not in every config, and by which rule."""

from __future__ import annotations

from collections.abc import Iterator

from factory import traces
from factory.card.facts import About, CardFacts
from factory.curation import distinct, quality
from factory.markdown import line, table

MEANINGS = {**quality.MEANINGS, **distinct.MEANINGS, **traces.MEANINGS}
"""Every rule by which a rollout is left out: it stands beside the rule."""

SET_ASIDE = {
    "malformed": "the row could not be read in its file",
    "unreadable": "a value of the row is of a kind that a problem cannot hold",
    "no_prompt": "no question, or one that is no text",
    "no_answer": "no reference answer, nor anything else to judge a reply by",
    "bad_messages": "the conversation is malformed, or contradicts the prompt",
    "bad_spec": "what the verifier would need is malformed",
    "too_long": "longer than `intake.max_prompt_chars`",
    "duplicate": "the question of an earlier row, and its answer",
    "conflicting_answer": "the question of an earlier row with another answer: one of them is "
    "wrong, or both are, so that none is published",
    "duplicate_id": "the id of an earlier row of this source",
    "near_duplicate": "nearly the words of an earlier question, with the same numbers",
    "unknown_verifier": "it names a verifier that the recipe does not have",
    "unverifiable": "its verifier did not pass the reference answer, or passed a changed one",
    "contaminated": traces.MEANINGS["contaminated"],
    "contaminated_variant": traces.MEANINGS["contaminated_variant"],
    "not_repeatable": "a generator's task whose seed does not decide its problems",
    "not_json": "a generator's task whose problems do not survive being written down",
    "refused": "the engine does not take the question at all",
    "set_aside": "generating for it, or judging it, kept failing",
}
"""Every rule by which a row of a source became no problem, or a problem was given up."""

NEVER_CLEAN = (
    "This compares wording and says nothing of a problem retold in other words: the dataset was "
    "compared by n-gram and fuzzy matching, no more."
)


def section(facts: CardFacts) -> dict[str, str]:
    """The parts of the card about what was left out."""
    return {
        "left_out": "\n\n".join(
            filter(None, [_dropped(facts), _withheld(facts), _barred(facts), _aborts(facts.about)])
        ),
        "repeats": table(("among", "compared by", "rule", "left out"), _repeats(facts)),
        "decontamination": _decontamination(facts),
        "rejects": table(("source", "rule", "meaning", "rows"), _rejects(facts.about)),
    }


def _dropped(facts: CardFacts) -> str:
    return table(("rule", "meaning", "rollouts", "tokens"), _rules(facts))


def _rules(facts: CardFacts) -> Iterator[tuple[object, ...]]:
    """Rules that were at work, those without a find too: so much was looked for."""
    counts = facts.counts
    at_work = [*quality.at_work(facts.options.quality), "bad_reward", *distinct.MEANINGS]
    if facts.options.near_duplicates is None:
        at_work.remove("near_duplicate")
    for rule in dict.fromkeys([*at_work, *counts.dropped]):
        number = counts.dropped.get(rule, 0)
        tokens = counts.dropped_tokens.get(rule, 0)
        yield rule, MEANINGS.get(rule, "-"), number, tokens


def _withheld(facts: CardFacts) -> str:
    options, counts = facts.options.quality, facts.counts
    sought = [name for name in quality.at_work(options) if name in quality.LEAKS]
    if not sought:
        return "Access keys and personal data were not looked for."
    rows = [(rule, MEANINGS[rule], counts.withheld.get(rule, 0)) for rule in sought]
    parts = [
        "Rollouts, right or wrong, whose text is in no config (`all` has a row with their figures "
        "and an empty reply):",
        table(("rule", "meaning", "rollouts"), rows),
    ]
    return "\n\n".join(parts)


def _barred(facts: CardFacts) -> str:
    rows = [(rule, MEANINGS.get(rule, "-"), n) for rule, n in facts.counts.barred.items()]
    if not rows:
        return ""
    head = "Problems that were sampled and are in no config that one trains on:"
    return f"{head}\n\n{table(('rule', 'meaning', 'problems'), rows)}"


def _aborts(about: About) -> str:
    if not about.aborts:
        return ""
    rows = [
        (name, one.cut, one.audited, one.false, f"{one.saved:,}" if one.audited else "-")
        for name, one in sorted(about.aborts.items())
    ]
    header = ("detector", "cut short", "audited", "of these correct (95 %)", "tokens saved, about")
    return "\n\n".join(
        [
            "Rollouts that a detector took for lost while they were written, and that were cut "
            "short: they are in no config. Some, drawn at random, ran on and were judged: by these "
            "one knows how many of the cut ones would have been correct.",
            table(header, rows),
        ]
    )


def _repeats(facts: CardFacts) -> list[tuple[object, ...]]:
    about, dropped = facts.about, facts.counts.dropped
    rejected = {
        rule: sum(rules.get(rule, 0) for rules in about.rejects.values())
        for rule in ("duplicate", "near_duplicate")
    }
    rows: list[tuple[object, ...]] = [
        ("problems", "equal text", "duplicate", rejected["duplicate"]),
    ]
    if about.near_duplicates is not None:
        near = f"Jaccard index of word 5-shingles, at least {about.near_duplicates}"
        rows.append(("problems", near, "near_duplicate", rejected["near_duplicate"]))
    within = "right rollouts of one problem"
    rows.append((within, "equal words", "duplicate", dropped.get("duplicate", 0)))
    if facts.options.near_duplicates is not None:
        near = f"Jaccard index of word 5-shingles, at least {facts.options.near_duplicates}"
        rows.append((within, near, "near_duplicate", dropped.get("near_duplicate", 0)))
    return rows


def _decontamination(facts: CardFacts) -> str:
    about, counts = facts.about, facts.counts
    if not about.eval_sets and not counts.contamination:
        return "The problems were not compared with any evaluation set."
    rows: list[tuple[object, ...]] = []
    for name in dict.fromkeys([*about.eval_sets, *about.kept_out, *counts.contamination]):
        place = about.eval_sets.get(name, "-")
        found = [
            (method, "dropped before sampling", number)
            for method, number in about.kept_out.get(name, {}).items()
        ]
        for how, number in counts.contamination.get(name, {}).items():
            method, _, done = how.partition(", ")
            found.append((method, done, number))
        rows += [(name, place, *one) for one in found or [("-", "nothing found", 0)]]
    header = ("evaluation set", "place", "method", "what was done", "problems")
    return "\n\n".join(
        [
            "Problems that an evaluation set has too, by n-gram and fuzzy comparison of the words "
            f"({line(about.comparison) or 'settings not recorded'}):",
            table(header, rows),
            "`whole`, `ngram` and `fuzzy` are copies; a `variant` has other numbers or variables. "
            "Flagged copies are in the config `all` alone, flagged variants everywhere; their hits "
            "stand in `metadata`. " + NEVER_CLEAN,
        ]
    )


def _rejects(about: About) -> list[tuple[object, ...]]:
    return [
        (source, rule, SET_ASIDE.get(rule, "-"), rows)
        for source, rules in sorted(about.rejects.items())
        for rule, rows in sorted(rules.items())
    ]
