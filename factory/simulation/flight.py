"""What is under way in the world: open problems, and rollouts with their lengths to come."""

from __future__ import annotations

from factory.simulation.pool import Problem
from factory.types import RolloutKey

WAITS = -1.0
GONE = -2.0


class Open:
    """A problem at work."""

    __slots__ = ("drawn", "flying", "right", "rollouts", "tokens", "wordings")

    def __init__(self, drawn: Problem) -> None:
        self.drawn = drawn
        self.right = self.rollouts = self.tokens = self.flying = 0
        self.wordings: set[int] = set()

    def is_new(self, wording: int | None) -> bool:
        """Whether a right rollout is the first in its words; from now on it is."""
        if wording is None:
            return True
        if wording in self.wordings:
            return False
        self.wordings.add(wording)
        return True


class Flight:
    """A rollout on its way, from its start to its verdict.

    Args:
        prompt: tokens that are read before it begins.
    """

    __slots__ = (
        "finish", "key", "left", "logged", "problem", "prompt", "right", "tokens", "wording",
    )  # fmt: skip

    def __init__(self, key: RolloutKey, problem: Open, prompt: int) -> None:
        self.key = key
        self.problem = problem
        self.tokens, self.right, self.wording = problem.drawn.draw(key.index)
        self.left = self.tokens
        """Tokens from where it began on the replica that has it."""
        self.prompt = prompt
        self.logged = 0
        """Tokens that a replica had logged before it was lost."""
        self.finish = GONE
        """What its replica's clock shows at its end; below 0 where it does not run."""
