"""Rollouts that part from an earlier one where the model was unsure. Experimental, off by default.

The first `after` rollouts of a problem begin from nothing, and all of them come to an end before
any other begins. Of the later ones every `every`-th is a fork: prompt and first tokens of one of
those, up to a place where the distribution over the next token had a high entropy, then words of
its own, drawn with a seed of its own. Only these are generated, paid for and counted; where the
engine keeps prefixes (vLLM does), the shared part costs one look at it.

Which fork parts where follows from its index and from what the first rollouts were, never from
the order of events: the same recipe on an engine that repeats itself gives the same forks, in
however many pieces the run was made. What the entropies were is on record with the rollouts they
are of; those of an interrupted one begin where it went on.

Forks are no independent samples of a problem. Pass rates, the census of the pool and what is
learned from it rest on the others alone. A correct fork counts as a correct rollout when a policy
asks whether there are enough, a wrong one as a failure when it asks whether to go on.

The idea is that of TreeRL's EPTree (arXiv 2506.11902); others found it to be worth nothing. What it
was worth here: docs/sampling.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from factory.policies import Decision, Policy, Tally
from factory.scheduling.pool import Pool
from factory.types import Branch

_MOST_TOP = 20
"""vLLM tells no more, unless it is told to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Branching:
    """The section `branching` of a recipe."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    after: int = 0
    """Rollouts of a problem that come before the first fork, and that forks part from; 0: no
    forks."""
    every: int = 2
    """Of the later ones, every so many-th is a fork, the first one included; 1: all."""
    points: int = 2
    """Places of a rollout at which forks may part from it."""
    entropy: float = 0.3
    """Nats from which on the model is unsure; where it nowhere is, there are no forks."""
    top: int = 10
    """Tokens whose probabilities the engine is asked for; the others count as one in the entropy,
    so it is a lower bound."""

    def __post_init__(self) -> None:
        for name, least in (("after", 0), ("every", 1), ("points", 1), ("top", 2)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")
        if self.top > _MOST_TOP:
            raise ValueError(f"top must be at most {_MOST_TOP}, got {self.top}")
        if not self.entropy > 0:
            raise ValueError(f"entropy must be above 0, got {self.entropy}")

    def lends(self, index: int) -> bool:
        """Whether others may part from this rollout."""
        return index < self.after

    def forks(self, index: int) -> bool:
        """Whether this rollout parts from another one, if there is a place for it."""
        return 0 < self.after <= index and (index - self.after) % self.every == 0

    def pick(self, index: int, lenders: Mapping[int, Branch]) -> tuple[Branch, list[int]] | None:
        """What a fork is, with the tokens that it takes over; None where nothing can be forked.

        Every rollout's first place comes before any one's second, the least sure ones first.

        Args:
            lenders: the first rollouts of its problem, by index.
        """
        places = sorted(
            (rank, -entropy, parent, at)
            for parent, branch in lenders.items()
            for rank, (at, entropy) in enumerate(branch.points)
        )
        if not places:
            return None
        _, _, parent, at = places[(index - self.after) // self.every % len(places)]
        return Branch(parent=parent, shared=at), list(lenders[parent].trunk[:at])

    def lend(self, tokens: Sequence[int], entropies: Sequence[float]) -> Branch:
        """What a finished rollout lends.

        Args:
            entropies: of its last tokens, one each.
        """
        first = len(tokens) - len(entropies)
        unsure = [(first + i, round(e, 4)) for i, e in enumerate(entropies) if e >= self.entropy]
        # At 0 nothing would be shared.
        points = sorted((p for p in unsure if p[0]), key=lambda p: (-p[1], p[0]))[: self.points]
        return Branch(
            points=tuple(points), trunk=tuple(tokens[: max((at for at, _ in points), default=0)])
        )

    def gate(self, policy: Policy) -> Policy:
        """The policy, but the first rollouts have ended before others begin."""
        return _Gated(policy=policy, first=self.after) if self.after else policy


@dataclass(frozen=True, slots=True, kw_only=True)
class _Gated:
    policy: Policy
    first: int

    def decide(self, tally: Tally, pool: Pool) -> Decision:
        decision = self.policy.decide(tally, pool)
        if tally.started < self.first:
            return replace(decision, start=min(decision.start, self.first - tally.started))
        if tally.started == self.first and tally.running:
            return replace(decision, start=0)
        return decision
