"""The feed in virtual time: how many problems are ready when they are asked for."""

from __future__ import annotations

from factory.simulation.assumptions import Supply

_AHEAD = 1024


class VirtualSource:
    """Reads a little ahead of demand, as `factory.feed` does."""

    def __init__(self, supply: Supply) -> None:
        self._supply = supply
        self._until = supply.hours * 3600 if supply.hours is not None else float("inf")
        self._total = supply.problems if supply.problems is not None else float("inf")
        self._ready = 0.0
        self._then = supply.latency_s
        self.taken = 0
        """Problems."""

    def stop(self) -> None:
        """Nothing further comes, if there was to be no end of problems."""
        if self._supply.problems is None:
            self._until = 0.0

    def take(self, now: float, wanted: int) -> int:
        """How many of the wanted problems are there at `now`."""
        if now >= self._until or now < self._supply.latency_s:
            return 0
        count = min(wanted, self._total - self.taken)
        if self._supply.per_s:
            self._ready = min(_AHEAD, self._ready + (now - self._then) * self._supply.per_s)
            self._then = now
            count = min(count, int(self._ready))
            self._ready -= count
        self.taken += int(count)
        return int(count)

    def ended(self, now: float) -> bool:
        """Nothing further will come."""
        return now >= self._until or self.taken >= self._total

    def next(self, now: float) -> float:
        """When to ask again, if at `now` there were too few."""
        if now < self._supply.latency_s:
            return self._supply.latency_s
        later = now + 1 / self._supply.per_s if self._supply.per_s else self._until
        return min(later, self._until)
