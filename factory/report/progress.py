"""What a person sees while a run works: a live bar on a terminal, elsewhere a line every 30 s.

The same figures go to `progress.json` in the run folder, for `factory status`.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from tqdm import tqdm

from factory.ledger import durable
from factory.report.counts import Counts
from factory.scheduling.foreman import Foreman

_LINE_S = 30.0
_LIVE_S = 0.5
_FILE_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """`progress.json`: how fast a run is, or was."""

    at: float
    """Unix time of writing."""
    generating_s: float
    """Seconds with at least one replica ready, over all commands on this run."""
    tokens: int
    """Generated up to here."""
    tokens_per_s: float
    """Over the last minute."""
    open_problems: int
    running: int
    """Rollouts handed out and not yet ended."""
    paused: str = ""
    """Why nothing can go on just now, and since when."""
    regenerated: int = 0
    """Tokens written a second time after interruptions, over all commands on this run: half of
    `cluster.log_every` for each interruption, which is what is lost of each on average when a
    process is killed (a drain, or an engine whose replica survives it, loses none)."""

    @classmethod
    def read(cls, run: Path) -> Snapshot | None:
        """The last one written; None if there is none that can be read."""
        try:
            return cls(**json.loads((run / "progress.json").read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None


class Display:
    """Shows progress. Use it as a context manager.

    Args:
        most: the recipe's limit: how many problems there are is known once the sources have ended.
    """

    def __init__(self, run: Path, most: int | None, stream: TextIO | None = None) -> None:
        self._run = run
        self._most = most
        self._stream = stream = stream or sys.stderr
        before = Snapshot.read(run)
        self._generating_before = before.generating_s if before else 0.0
        self.regenerated = before.regenerated if before else 0
        self._pause = ""
        self._ready_at: float | None = None
        self._stopped_at: float | None = None
        self._started = self._shown = self._filed = time.monotonic()
        self._recent: list[tuple[float, int]] = []
        self._bar: tqdm[Any] | None = None
        if stream.isatty():
            self._bar = tqdm(
                total=most, unit="problem", file=stream, dynamic_ncols=True, leave=False
            )

    def __enter__(self) -> Display:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def note(self, text: str) -> None:
        """A line that stays."""
        if self._bar is not None:
            self._bar.write(text, file=self._stream)
        else:
            print(text, file=self._stream, flush=True)

    def joined(self, replica: str) -> None:
        if self._ready_at is None:
            self._ready_at = time.monotonic()
        self.note(f"{replica} is ready")

    def idle(self) -> None:
        """No replica is ready any more: the clock of generation stands still."""
        self._generating_before, self._ready_at = self.generating_s, None

    def stopped(self) -> None:
        """Generation is over; what follows is tidying up."""
        self._stopped_at = time.monotonic()

    @property
    def generating_s(self) -> float:
        if self._ready_at is None:
            return self._generating_before
        return self._generating_before + (self._stopped_at or time.monotonic()) - self._ready_at

    def update(self, counts: Counts, foreman: Foreman, pause: str = "") -> None:
        """Called after every batch of events; shows something when it is time to.

        Args:
            pause: why nothing can go on just now.
        """
        now = time.monotonic()
        self._pause = pause
        wait = _LINE_S if self._bar is None else _LIVE_S
        if now - self._shown >= wait:
            self._shown = now
            self._show(now, counts, foreman)
        if now - self._filed >= _FILE_S:
            self.file(counts, foreman.open_problems, foreman.running)

    def _show(self, now: float, counts: Counts, foreman: Foreman) -> None:
        rate = f"{counts.pass_rate:.0%}" if counts.pass_rate is not None else "-"
        figures = (
            f"{counts.solved} solved, {counts.rollouts} rollouts, {rate} correct, "
            f"{foreman.running} running, {self._speed(now, counts):.0f} tok/s"
        )
        if self._bar is not None:
            self._bar.total = counts.problems if foreman.source_ended else self._most
            self._bar.n = counts.closed.total()
            self._bar.set_postfix_str(self._pause or figures)
        else:
            clock = f"{now - self._started:.0f} s"
            if self._pause:
                print(f"[{clock}] {self._pause}", file=self._stream, flush=True)
                return
            if self._ready_at is None:
                print(f"[{clock}] waiting for a replica", file=self._stream, flush=True)
                return
            done = self._done(counts, foreman.source_ended)
            print(f"[{clock}] {done}, {figures}", file=self._stream, flush=True)

    def _done(self, counts: Counts, all_admitted: bool) -> str:
        done = counts.closed.total()
        if all_admitted:
            return f"{done} of {counts.problems} problems done"
        if self._most is not None:
            return f"{done} of at most {self._most} problems done"
        return f"{done} problems done, {counts.problems} admitted so far"

    def _speed(self, now: float, counts: Counts) -> float:
        self._recent.append((now, counts.tokens))
        self._recent = [p for p in self._recent if p[0] >= now - 60] or self._recent[-1:]
        then, before = self._recent[0]
        return (counts.tokens - before) / (now - then) if now > then else 0.0

    def file(self, counts: Counts, open_problems: int, running: int) -> None:
        """Write `progress.json`, whole or not at all; where it cannot be written, go without."""
        self._filed = now = time.monotonic()
        data = {
            "at": time.time(),
            "generating_s": round(self.generating_s, 3),
            "tokens": counts.tokens,
            "tokens_per_s": round(self._speed(now, counts), 1),
            "open_problems": open_problems,
            "running": running,
            "paused": self._pause,
            "regenerated": self.regenerated,
        }
        with contextlib.suppress(OSError):  # a full disk stops the ledger, not its speedometer
            durable.write(self._run / "progress.json", json.dumps(data) + "\n", synced=False)
