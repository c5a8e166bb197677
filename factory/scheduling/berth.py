"""A replica, as the foreman sees it."""

from __future__ import annotations

from dataclasses import dataclass, field

from factory.types import RolloutKey


@dataclass(slots=True, eq=False)
class Berth:
    """Where rollouts run; two of them are never equal."""

    name: str
    slots: int
    """Rollouts that it holds at once."""
    running: dict[RolloutKey, None] = field(default_factory=dict)
    """Those handed to it and not yet ended, in order."""
    aboard: dict[RolloutKey, int] = field(default_factory=dict)
    """Suspects among them, with how many suspects each may have beside it, itself included."""
