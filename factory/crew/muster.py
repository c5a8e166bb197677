"""Who of a crew is at work and who is missed: whether a run is paused, and what it says of it."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator

_SHOWN = 3
# A post that was just lost is often filled again before anyone could read about it.
_PATIENCE_S = 5.0
_STARTING = "starting"


class Muster:
    """The posts of one run.

    Attributes:
        pause: why nothing can go on just now, in one line; empty while something can.
    """

    def __init__(self) -> None:
        self.pause = ""
        self._replicas: set[str] = set()
        self._missed: dict[str, str] = {}
        self._judges: set[str] = set()
        self._began: set[str] = set()
        self._lost = ""
        self._empty_since: float | None = None
        self._said = ""

    def joined(self, replica: str) -> None:
        self._replicas.add(replica)
        self._began.add("replica")

    def left(self, replica: str, reason: str) -> bool:
        """Whether it was the last one."""
        self._replicas.discard(replica)
        self._lost = f"{replica}: {reason}"
        return not self._replicas

    def waiting(self, post: str, why: str) -> None:
        """A post is empty and waits for something; with an empty `why` it is filled."""
        if post.startswith("judge"):
            self._judges.add(post)
        if why:
            self._missed[post] = why
        else:
            self._missed.pop(post, None)
            self._began.add(post.partition("-")[0])

    def news(self, unjudged: int) -> Iterator[str]:
        """Lines to be shown now: a pause begins, it has another reason, it is over.

        Args:
            unjudged: rollouts that wait for a judge.
        """
        kind = self._nobody(unjudged)
        now = time.monotonic()
        if not kind:
            if self._said and self._empty_since is not None:
                yield f"going on after {now - self._empty_since:.0f} s"
            self.pause, self._said, self._empty_since = "", "", None
            return
        if self._empty_since is None:
            self._empty_since = now
        reasons = {why for post, why in self._missed.items() if post.startswith(kind)}
        ordinary = kind not in self._began and reasons <= {_STARTING}
        if ordinary or now - self._empty_since < _PATIENCE_S:
            return
        missed = self._listed(kind)
        since = time.strftime("%H:%M:%S", time.localtime(time.time() - now + self._empty_since))
        lost = f" The last one lost was {self._lost}." if self._lost and kind == "replica" else ""
        head = "paused" if kind in self._began else "waiting"
        self.pause = f"{head} since {since}: no {kind} is at work. {missed}.{lost}"
        if self._said != kind:
            self._said = kind
            yield (
                f"{self.pause} Everything so far is on record; it goes on by itself as soon as "
                f"a {kind} is ready, and the same command resumes it if you stop it."
            )

    def _nobody(self, unjudged: int) -> str:
        """Of whom nobody is at work, though there is work."""
        if not self._replicas:
            return "replica"
        if unjudged and self._judges and self._judges <= self._missed.keys():
            return "judge"
        return ""

    def _listed(self, kind: str) -> str:
        """Who waits for what, those with one reason together."""
        posts: defaultdict[str, list[str]] = defaultdict(list)
        for post, why in self._missed.items():
            if post.startswith(kind):
                posts[why].append(post)
        parts = [
            f"{names[0]}{f' and {len(names) - 1} more' if len(names) > 1 else ''}: {why}"
            for why, names in list(posts.items())[:_SHOWN]
        ]
        more = len(posts) - _SHOWN
        return "; ".join(parts) + (f"; {more} further reasons" if more > 0 else "")
