"""Verdicts to traces: which rollouts of a problem are worth keeping.

problems -> rollouts -> verdicts -> traces -> shards -> hub
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field, replace
from typing import Literal

import pydantic

from factory.contamination.hits import Mark
from factory.curation import quality as rules
from factory.curation.distinct import Measure, Prefer, Text, choose
from factory.curation.quality import FORM, THINK, THINK_END, Flaw, Quality
from factory.types import Outcome, Problem, Rollout, Trace, Verdict

COMPLETE = Quality(max_repetition=None, max_loop=None, printable=False, secrets=False)
"""That the model was done and its reply can be taken apart; nothing about what it says."""

CURATION = 3
"""Version of the rules from ledger to rows: raised whenever equal ledgers may give other rows."""

MEANINGS = {
    "bad_reward": "the verifier's reward is not a number from 0 to 1",
    "problem_secrets": "the problem itself holds an access key or a private key: no config has it",
    "problem_personal": "the problem itself holds personal data of the chosen kinds: no config "
    "has it",
    "conflicting_answer": "the sources hold the question with another answer too: no config has it",
    "contaminated": "an evaluation set has the problem, by n-gram and fuzzy comparison",
    "contaminated_variant": "an evaluation set has the problem with other numbers or variables",
}
"""What the rules of this file mean, for the card."""

ConfigName = Literal[
    "all", "preference", "unpaired", "rl", "stepwise", "reasoning_content", "thinking"
]


class TraceOptions(pydantic.BaseModel):
    """Which correct rollouts are kept, and in which forms rollouts are published."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    quality: Quality = Quality()
    """What a correct rollout must also be."""
    max_per_problem: int = pydantic.Field(default=4, ge=1)
    """Most traces kept of one problem."""
    near_duplicates: float | None = pydantic.Field(default=0.8, gt=0, le=1)
    """Jaccard index of word 5-shingles from which on a trace repeats a kept one of its problem;
    None keeps all but exact repeats."""
    prefer: Prefer = "first"
    """Which ones, where there are more: the first sampled; by generated tokens the shortest, the
    longest, or a spread from one to the other; or those that are most different."""
    measure: Measure = "auto"
    """What makes traces different, for `prefer: different` alone."""
    configs: tuple[ConfigName, ...] = ("all", "preference", "unpaired", "rl", "stepwise")
    """What is published beside `default`, each a config of the same dataset
    (`factory.configs`). The other two repeat `default` with the reasoning in a field of its own."""
    max_pairs: int = pydantic.Field(default=4, ge=1)
    """Most preference pairs of one problem."""
    step_rollouts: int = pydantic.Field(default=4, ge=2)
    """Rollouts that must have begun alike before `stepwise` labels the step they share."""

    @pydantic.field_validator("configs")
    @classmethod
    def _configs_differ(cls, configs: tuple[ConfigName, ...]) -> tuple[ConfigName, ...]:
        for name in configs:
            if configs.count(name) > 1:
                raise ValueError(f"{name!r} is listed twice")
        return configs


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """One problem with all that was sampled for it."""

    problem: Problem
    judged: list[tuple[Rollout, Verdict | None]] = field(default_factory=list)
    """Every rollout with its verdict; None where it was not judged yet."""
    cluster: str = ""
    """Id of the first of the problems that nearly repeat this one (`factory.curation.clusters`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Barred:
    """Why a whole problem is published in no config that one trains on."""

    rule: str
    hidden: bool
    """It is not in `all` either."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What became of the rollouts of one problem."""

    kept: list[Trace]
    """By index."""
    why: dict[int, str]
    """The rule by which a correct rollout was not kept, by index."""
    all: list[Trace]
    """Every rollout that came to an end, by index."""
    withheld: dict[int, str]
    """Rollouts, right or wrong, whose text no config may show, by index: `secrets`, `personal`."""
    barred: Barred | None = None
    """What holds for the problem as a whole."""
    mark: Mark | None = None
    """What the evaluation sets say of it."""
    told: list[Trace] = field(default_factory=list)
    """Complete rollouts found right or wrong, by index: evidence for or against what they say.
    None where none is right, or the problem is barred; what is withheld is left out."""

    @property
    def dropped(self) -> dict[str, int]:
        """Correct rollouts that were not kept: rule -> how many."""
        return dict(sorted(Counter(self.why.values()).items()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A completion, taken apart."""

    reasoning: str | None
    """What was thought before the answer; None where the model did not think aloud."""
    answer: str


def select(
    group: Group, options: TraceOptions, mark: Mark | None = None, *, disputed: bool = False
) -> Selection:
    """The traces of one problem: correct, fit to be trained on, different, and at most so many.

    Args:
        mark: what the evaluation sets say of the problem.
        disputed: the sources hold another answer to it too, so that no verdict can be trusted.
    """
    barred = _barred(group.problem, options.quality, mark, disputed)
    traces = _traces(_marked(group, mark))
    withheld = {
        trace.rollout.index: rule
        for trace in traces
        if (rule := rules.leak(trace, options.quality)) is not None
    }
    fit: list[Trace] = []
    why: dict[int, str] = {}
    for trace in traces:
        if trace.verdict.outcome is Outcome.CORRECT:
            if rule := barred.rule if barred else _unfit(trace, options.quality, withheld):
                why[trace.rollout.index] = rule
            else:
                fit.append(trace)
    choice = choose(
        [_text(trace) for trace in fit],
        options.max_per_problem,
        prefer=options.prefer,
        measure=options.measure,
        near_duplicates=options.near_duplicates,
    )
    return Selection(
        kept=[trace for trace in fit if trace.rollout.index not in choice.dropped],
        why=why | choice.dropped,
        all=traces,
        withheld=withheld,
        barred=barred,
        mark=mark,
        told=[] if barred else _told(traces, withheld),
    )


def _told(traces: list[Trace], withheld: dict[int, str]) -> list[Trace]:
    judged = (Outcome.CORRECT, Outcome.INCORRECT)
    found = [
        trace
        for trace in traces
        if trace.verdict.outcome in judged
        and trace.rollout.index not in withheld
        and not flaw(trace)
    ]
    return found if any(t.verdict.outcome is Outcome.CORRECT for t in found) else []


def flaw(trace: Trace, options: Quality = COMPLETE) -> Flaw | None:
    """Why a judged rollout is unfit in its form; None where it is not.

    Secrets and personal data are no matter of form: `Selection.withheld` names them.
    """
    reward = trace.verdict.reward
    if reward is not None and not 0.0 <= reward <= 1.0:  # NaN fails this too
        return Flaw("bad_reward", f"reward {reward!r} is not from 0 to 1")
    return rules.flaw(trace, options, FORM)


def _unfit(trace: Trace, options: Quality, withheld: dict[int, str]) -> str | None:
    found = flaw(trace, options)
    return found.rule if found else withheld.get(trace.rollout.index)


def _barred(problem: Problem, options: Quality, mark: Mark | None, disputed: bool) -> Barred | None:
    if leak := rules.problem_leak(problem, options):
        return Barred(rule=f"problem_{leak}", hidden=True)
    if disputed:
        return Barred(rule="conflicting_answer", hidden=True)
    if mark is None or (mark.rule == "contaminated_variant" and not mark.drop):
        return None
    return Barred(rule=mark.rule, hidden=mark.drop)


def _marked(group: Group, mark: Mark | None) -> Group:
    """The problem with its hits, which are published with it."""
    if mark is None:
        return group
    hits = {"contamination": [asdict(hit) for hit in mark.hits]}
    problem = replace(group.problem, metadata=group.problem.metadata | hits)
    return replace(group, problem=problem)


def take_apart(text: str, reasoning: str | None) -> Reply | None:
    """A completion's reasoning and answer; None where the tags are not one pair at the start."""
    tags = text.count(THINK) + text.count(THINK_END)
    if reasoning is not None:
        if tags or THINK in reasoning or THINK_END in reasoning:
            return None
        return Reply(reasoning=reasoning if reasoning.strip() else None, answer=text)
    if not tags:
        return Reply(reasoning=None, answer=text)
    start = text.lstrip()
    if tags != 2 or not start.startswith(THINK) or THINK_END not in start:
        return None
    thought, _, answer = start.removeprefix(THINK).partition(THINK_END)
    return Reply(reasoning=thought, answer=answer)


def unjudged(rollout: Rollout) -> Verdict:
    """Stands in for a verdict that is still to come: no verifier, no reward."""
    return Verdict(
        problem_id=rollout.problem_id,
        index=rollout.index,
        outcome=Outcome.ERROR,
        reward=None,
        extracted=None,
        detail="not judged",
        verifier="",
        verifier_version="",
    )


def _traces(group: Group) -> list[Trace]:
    """Every rollout that came to an end, with what its problem as a whole tells."""
    ended = [(r, v) for r, v in group.judged if r.completion.finish_reason in ("stop", "length")]
    ended.sort(key=lambda pair: pair[0].index)
    judged = [(r, v.outcome) for r, v in ended if v is not None and v.outcome.judged]
    # A fork is no sample of the pass rate: what it began with was drawn for another one.
    outcomes = [outcome for rollout, outcome in judged if not rollout.forked]
    rate = outcomes.count(Outcome.CORRECT) / len(outcomes) if outcomes else None
    return [
        Trace(
            problem=group.problem,
            rollout=rollout,
            verdict=verdict or unjudged(rollout),
            num_generations=len(ended),
            pass_rate=rate,
            cluster=group.cluster,
        )
        for rollout, verdict in ended
    ]


def _text(trace: Trace) -> Text[int]:
    """What is compared with the other traces; a lone surrogate could not be hashed."""
    completion = trace.rollout.completion
    text = f"{completion.reasoning or ''}\n{completion.text}".encode("utf-8", "replace").decode()
    return Text(trace.rollout.index, text, trace.rollout.length)
