"""What verifiers that are made of others have in common.

A member is a verifier like any other, named in the options: `{name: math, require_box: true}`. It
gets the problem with its own part of the spec: what stands in the spec under the member's name, if
that is a mapping, else the whole spec. `part` names another key; it must then be there.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from factory import plugins
from factory.types import Completion, Judgement, Outcome, Problem

_MAX_DETAIL = 900
_NOT_RUN = "not run"
WORST = (Outcome.ERROR, Outcome.TIMEOUT, Outcome.UNSURE)
"""Outcomes that judge nothing, the one that says most about the checker first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One of the verifiers."""

    name: str
    part: str | None
    """Key of its part of the spec, where the options give one."""
    verifier: Any
    weight: float = 1.0

    @property
    def label(self) -> str:
        return self.name if self.part is None else f"{self.name} {self.part}"

    def verify(self, problem: Problem, completion: Completion) -> Judgement:
        try:
            own = self.own(problem)
        except ValueError as error:
            return Judgement(outcome=Outcome.ERROR, detail=f"the problem: {error}")
        judgement: Judgement = self.verifier.verify(own, completion)
        reward = judgement.reward
        if reward is not None and not 0.0 <= reward <= 1.0:  # NaN fails this too
            return Judgement(outcome=Outcome.ERROR, detail=f"reward {reward!r} is not in [0, 1]")
        return judgement

    def own(self, problem: Problem) -> Problem:
        """The problem with this member's part of the spec.

        Raises:
            ValueError: the part that the options name is not there.
        """
        part = problem.spec.get(self.name if self.part is None else self.part)
        if isinstance(part, dict):
            return replace(problem, spec=part)
        if self.part is not None:
            raise ValueError(f"spec.{self.part} must be a mapping, got {part!r:.60}")
        return problem


def members(given: Sequence[dict[str, Any]], weighted: bool = False) -> tuple[Member, ...]:
    """The members that options name.

    Raises:
        ValueError: there is none, or one is not well named.
        PluginError: one does not exist or does not take its options.
    """
    if not given:
        raise ValueError("verifiers must name at least one")
    found = []
    for number, entry in enumerate(given, start=1):
        options = dict(entry)
        name, part = options.pop("name", None), options.pop("part", None)
        weight = options.pop("weight", 1.0) if weighted else 1.0
        if not isinstance(name, str):
            raise ValueError(f"verifiers: number {number} needs a name, got {entry!r:.80}")
        if part is not None and not isinstance(part, str):
            raise ValueError(f"verifiers: part of {name} must be a key of the spec, got {part!r}")
        if isinstance(weight, bool) or not isinstance(weight, int | float):
            raise ValueError(f"verifiers: weight of {name} must be a number, got {weight!r}")
        if not 0 < weight < float("inf"):
            raise ValueError(f"verifiers: weight of {name} must be above 0, got {weight!r}")
        verifier = plugins.build("verifier", name, options)
        found.append(Member(name=name, part=part, verifier=verifier, weight=weight))
    labels = [member.label for member in found]
    for label in labels:
        if labels.count(label) > 1:
            raise ValueError(f"verifiers: {label} stands twice; give each a part of its own")
    return tuple(found)


def worst(judgements: Sequence[Judgement]) -> Outcome | None:
    """The outcome that counts where some members could not tell; None if all could."""
    outcomes = {judgement.outcome for judgement in judgements}
    return next((outcome for outcome in WORST if outcome in outcomes), None)


def failure(judgements: Sequence[Judgement]) -> Outcome:
    """How an answer failed: INCORRECT where any member read one, else UNPARSABLE."""
    outcomes = {judgement.outcome for judgement in judgements}
    return Outcome.UNPARSABLE if outcomes == {Outcome.UNPARSABLE} else Outcome.INCORRECT


def conclude(
    found: Sequence[Member],
    judgements: Sequence[Judgement],
    outcome: Outcome,
    reward: float | None = None,
) -> Judgement:
    """The whole's judgement; its detail names each member's. Members past the last were not run."""
    room = _MAX_DETAIL // len(found)
    words = []
    for member, judgement in itertools.zip_longest(found, judgements):
        said = f"{judgement.outcome} ({judgement.detail})" if judgement else _NOT_RUN
        words.append(" ".join(f"{member.label}: {said}".split())[:room])
    detail = "; ".join(words)
    if outcome is Outcome.ERROR and any(_is_broken(judgement) for judgement in judgements):
        detail = f"the problem: {detail}"
    extracted = next((j.extracted for j in judgements if j.extracted is not None), None)
    return Judgement(outcome=outcome, extracted=extracted, detail=detail, reward=reward)


def _is_broken(judgement: Judgement) -> bool:
    return judgement.outcome is Outcome.ERROR and judgement.detail.startswith("the problem: ")


@dataclass(frozen=True, slots=True, kw_only=True)
class Composed:
    """A verifier made of others; `decide` says what their judgements come to."""

    revision: ClassVar[str] = "1"
    """Of the rule by which it decides; the members' versions come on top of it."""
    takes_weights: ClassVar[bool] = False

    verifiers: tuple[dict[str, Any], ...]
    """The members: `{name: NAME, ...its options}`, and `part`, its key in the spec."""
    members: tuple[Member, ...] = field(init=False, repr=False)
    """The members, made."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "members", members(self.verifiers, self.takes_weights))

    @property
    def version(self) -> str:
        """It changes with any member's."""
        found = ", ".join(f"{m.label} {m.verifier.version}" for m in self.members)
        return f"{self.revision} ({found})"

    @property
    def runs_code(self) -> bool:
        """Whether any member runs what a model wrote."""
        return any(getattr(m.verifier, "runs_code", False) for m in self.members)

    @property
    def limit_s(self) -> float:
        """The most seconds that all members together may take; 0 where none says."""
        return sum(float(getattr(m.verifier, "limit_s", 0.0)) for m in self.members)

    def decide(self, judgements: Sequence[Judgement]) -> Judgement:
        """The whole's judgement from the members', the last of which may be missing."""
        raise NotImplementedError

    def is_settled(self, judgement: Judgement) -> bool:
        """Whether one member's judgement leaves nothing to ask the others."""
        return False

    def verify(self, problem: Problem, completion: Completion) -> Judgement:
        judgements: list[Judgement] = []
        for member in self.members:
            judgements.append(member.verify(problem, completion))
            if self.is_settled(judgements[-1]):
                break
        return self.decide(judgements)

    def reference(self, problem: Problem) -> str:
        """The first member's reference that all of it accepts."""
        texts, words = [], []
        for member in self.members:
            try:
                texts.append(str(member.verifier.reference(member.own(problem))))
            except ValueError as error:
                raise ValueError(f"{member.label}: {error}") from None
        for text in texts:
            judgement = self.verify(problem, Completion(text=text))
            if judgement.outcome is Outcome.CORRECT:
                return text
            words.append(judgement.detail)
        raise ValueError(f"no member's reference is accepted: {words[0]}"[:_MAX_DETAIL])

    def perturb(self, problem: Problem) -> Iterator[str]:
        """Each member's perturbed references in turn, where that member's no is decisive.

        What the member itself says of them is not asked: that is for the caller to find out.
        """
        sources = [iter(m.verifier.perturb(m.own(problem))) for m in self.members]
        for row in itertools.zip_longest(*sources):
            for place, text in enumerate(row):
                if text is not None and self._is_decisive(problem, place, text):
                    yield text

    def _is_decisive(self, problem: Problem, place: int, text: str) -> bool:
        """Whether the whole rejects a text once the member at this place does."""
        judgements = [Judgement(outcome=Outcome.CORRECT) for _ in self.members]
        judgements[place] = Judgement(outcome=Outcome.INCORRECT)
        if self.decide(judgements).outcome is not Outcome.CORRECT:
            return True
        for at, member in enumerate(self.members):
            if at != place:
                judgements[at] = member.verify(problem, Completion(text=text))
        return self.decide(judgements).outcome is not Outcome.CORRECT
