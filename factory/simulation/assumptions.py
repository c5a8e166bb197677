"""What a simulation is told: how fast engines are, how long rollouts, how often things break."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """One replica's engine.

    A decoding step gives every running request one token. Its time grows linearly with the batch,
    `a + b n`: the weights are read once per step, the rest is work per request. Two figures that
    anyone can measure fix both. So the throughput of a batch of n is `n / (a + b n)`.

    The defaults stand for an 8B model in bf16 on one H100. `full` is Qwen3-8B's end-to-end rate in
    the FinePhrase report of Hugging Face (6,443 tokens/s per GPU). The rest is assumed: `alone`
    from reading 16 GB of weights at two thirds of 3.35 TB/s, `prefill` from 16 GFLOP per token at
    half of 989 TFLOP/s, `start_s` for loading and compiling.
    """

    alone: float = 140.0
    """Tokens/s of one request that has the engine to itself."""
    full: float = 6443.0
    """Tokens/s of a full batch, all its requests together."""
    sequences: int = 256
    """Requests that run at once."""
    ahead: float = 1.25
    """Requests held, per request that runs (as `factory.engines.vllm` does it)."""
    prefill: float = 30_000.0
    """Prompt tokens/s; decoding stands still meanwhile."""
    start_s: float = 120.0
    """Seconds from start to ready."""

    def __post_init__(self) -> None:
        for name in ("alone", "full", "prefill"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be above 0 tokens/s, got {getattr(self, name)}")
        if self.sequences < 1:
            raise ValueError(f"sequences must be at least 1, got {self.sequences}")
        if not self.alone <= self.full * (1 + 1e-9) <= self.alone * self.sequences * (1 + 2e-9):
            raise ValueError(
                f"a full batch makes between 1 and {self.sequences} times the {self.alone:g} "
                f"tokens/s of one request alone, got {self.full:g}"
            )
        if self.ahead < 1:
            raise ValueError(f"ahead must be at least 1, got {self.ahead}")
        if self.start_s < 0:
            raise ValueError(f"start_s must be at least 0, got {self.start_s}")

    @property
    def slots(self) -> int:
        """Requests that the engine asks for."""
        return int(self.sequences * self.ahead)

    @property
    def steps(self) -> list[float]:
        """Seconds of one decoding step, by the number of running requests from 0."""
        if self.sequences == 1:
            return [0.0, 1 / self.full]
        per_request = (self.sequences / self.full - 1 / self.alone) / (self.sequences - 1)
        base = 1 / self.alone - per_request
        return [base + per_request * n for n in range(self.sequences + 1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Judging:
    """The verifiers' workers."""

    judges: int = 1
    """Workers."""
    seconds: float = 0.02
    """Mean of one judgement; they are log-normal with sigma 1."""
    hung: float = 0.0
    """Share of judgements that run into their limit."""
    hang_s: float = 10.0
    """What one of those takes, every retry included."""

    def __post_init__(self) -> None:
        if self.judges < 1:
            raise ValueError(f"judges must be at least 1, got {self.judges}")
        if min(self.seconds, self.hang_s) < 0:
            raise ValueError("the seconds of a judgement must be at least 0")
        if not 0 <= self.hung <= 1:
            raise ValueError(f"hung must be a share in [0, 1], got {self.hung}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Losses:
    """How replicas are lost and come back."""

    per_hour: float = 0.0
    """Losses per replica and hour; a lost one starts again at once."""
    preempt_every_s: float = 0.0
    """Seconds between two preemptions; 0: none."""
    preempt_share: float = 0.0
    """Share of the replicas that each takes, at once."""
    preempt_back_s: float = 600.0
    """Seconds until that capacity is given back; starting comes on top."""

    def __post_init__(self) -> None:
        if min(self.per_hour, self.preempt_every_s, self.preempt_back_s) < 0:
            raise ValueError("losses, and the seconds of a preemption, must be at least 0")
        if not 0 <= self.preempt_share <= 1:
            raise ValueError(f"preempt_share must be in [0, 1], got {self.preempt_share}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Supply:
    """Where problems come from."""

    problems: int | None = None
    """How many there are; None: without end."""
    hours: float | None = None
    """The source ends after so many hours; what is open then is finished."""
    per_s: float = 0.0
    """Problems read and checked per second; 0: at once."""
    latency_s: float = 0.0
    """Until the first one is there."""

    def __post_init__(self) -> None:
        if self.problems is None and self.hours is None:
            raise ValueError("a source without end needs hours after which it ends")
        if self.problems is not None and self.problems < 1:
            raise ValueError(f"problems must be at least 1, got {self.problems}")
        if self.hours is not None and self.hours <= 0:
            raise ValueError(f"hours must be above 0, got {self.hours}")
        if min(self.per_s, self.latency_s) < 0:
            raise ValueError("a source's rate and latency must be at least 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One simulated run, apart from its problems and its policy."""

    supply: Supply
    replicas: int = 1
    gpus: float = 1.0
    """Of one replica."""
    speed: Speed = field(default_factory=Speed)
    judging: Judging = field(default_factory=Judging)
    losses: Losses = field(default_factory=Losses)
    log_every: int = 512
    """Tokens between two log entries of a rollout: what lies behind the last is lost with it."""
    keep: int = 4
    """Traces kept per problem; right ones beyond them are surplus."""
    gather_s: float = 0.025
    """Events gather this long before the foreman hears of them, as in `factory.crew.replica` with
    few replicas; those of many gather longer, within what their reserve of requests covers."""
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("replicas", "log_every", "keep"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.gpus < 0:
            raise ValueError(f"gpus must be at least 0, got {self.gpus}")
        if self.gather_s <= 0:
            raise ValueError(f"gather_s must be above 0, got {self.gather_s}")
