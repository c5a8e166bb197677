"""What is counted while a simulation runs. Memory does not grow with its length."""

from __future__ import annotations

from dataclasses import dataclass, field

DECILES = 10
_MOST_SAMPLES = 480


@dataclass(slots=True, kw_only=True)
class Tokens:
    """Generated tokens by what became of them."""

    accepted: int = 0
    """Of right rollouts that are kept."""
    surplus: int = 0
    """Of right rollouts beyond what is kept of their problem."""
    repeated: int = 0
    """Of right rollouts in the words of an earlier one."""
    wrong: int = 0
    unjudged: int = 0
    """Of rollouts whose judgement hung."""
    aborted: int = 0
    regenerated: int = 0
    """Written behind the last log entry when a replica was lost, so written again."""

    @property
    def total(self) -> int:
        return (
            self.accepted
            + self.surplus
            + self.repeated
            + self.wrong
            + self.unjudged
            + self.aborted
            + self.regenerated
        )


@dataclass(slots=True, kw_only=True)
class Band:
    """Finished problems whose true pass rate lies in one tenth of [0, 1]."""

    problems: int = 0
    solved: int = 0
    """With at least one right rollout."""
    full: int = 0
    """With as many right ones as are kept."""
    rollouts: int = 0
    tokens: int = 0


@dataclass(slots=True, kw_only=True)
class Use:
    """Sums over time, in seconds of one place in a batch."""

    busy: float = 0.0
    """Places in which a request ran."""
    ready: float = 0.0
    """Places of replicas that were ready."""
    held: float = 0.0
    """Places of replicas that were held, ready or starting."""

    def add(self, other: Use, times: float = 1.0) -> None:
        self.busy += other.busy * times
        self.ready += other.ready * times
        self.held += other.held * times


@dataclass(slots=True, kw_only=True)
class Timeline:
    """Slot use over time in samples of equal length; when they become many, pairs are joined."""

    step_s: float = 1.0
    samples: list[Use] = field(default_factory=list)

    def add(self, since: float, now: float, rate: Use) -> None:
        """Count `rate`, per second, over a stretch of time."""
        while since < now:
            place = self._place(since)
            end = min(now, (place + 1) * self.step_s)
            while len(self.samples) <= place:
                self.samples.append(Use())
            self.samples[place].add(rate, end - since)
            since = end

    def _place(self, at: float) -> int:
        while (place := int(at / self.step_s + 1e-9)) >= _MOST_SAMPLES:
            self._join()
        return place

    def _join(self) -> None:
        joined = []
        for first in range(0, len(self.samples), 2):
            use = self.samples[first]
            for other in self.samples[first + 1 : first + 2]:
                use.add(other)
            joined.append(use)
        self.samples = joined
        self.step_s *= 2


@dataclass(slots=True, kw_only=True)
class Figures:
    """Everything that is counted."""

    tokens: Tokens = field(default_factory=Tokens)
    bands: list[Band] = field(default_factory=lambda: [Band() for _ in range(DECILES)])
    closed: dict[str, int] = field(default_factory=dict)
    """Finished problems by reason."""
    rollouts: int = 0
    """Ended by themselves or at their limit."""
    aborted: int = 0
    kept: int = 0
    """Right ones in words of their own, up to what is kept of each problem."""
    losses: int = 0
    """Replicas lost."""
    interrupted: int = 0
    """Rollouts that were lost with their replica and went on elsewhere."""
    whole: Use = field(default_factory=Use)
    """Over the whole run."""
    fed: Use = field(default_factory=Use)
    """Until the last problem was admitted."""
    timeline: Timeline = field(default_factory=Timeline)
    admitted_s: float = 0.0
    """When the last problem was admitted."""
    most_open: int = 0
    """Open problems, at most."""
    most_unjudged: int = 0
    """Rollouts waiting for a judge, at most."""
    gpu_s: float = 0.0
    """GPU-seconds counted against the policy's budget; 0 where it has none."""
    foreman_s: float = 0.0
    """CPU seconds of this machine that the foreman took."""
    events: int = 0
    """Events that it was told."""

    def spend(self, since: float, now: float, *, busy: int, ready: int, held: int) -> None:
        """Count a stretch of time.

        Args:
            busy: requests running.
            ready: places of the replicas that are ready.
            held: places of all replicas held.
        """
        rate = Use(busy=busy, ready=ready, held=held)
        self.whole.add(rate, now - since)
        self.timeline.add(since, now, rate)

    def close(
        self, reason: str, rate: float, *, right: int, rollouts: int, tokens: int, keep: int
    ) -> None:
        """Count a finished problem."""
        short = reason.partition(":")[0]
        self.closed[short] = self.closed.get(short, 0) + 1
        self.kept += min(right, keep)
        band = self.bands[min(int(rate * DECILES), DECILES - 1)]
        band.problems += 1
        band.solved += right > 0
        band.full += right >= keep
        band.rollouts += rollouts
        band.tokens += tokens
