"""One engine at work in virtual time: a batch whose requests share its speed.

Every running request gets one token per step, so they all move along one clock that counts steps
(processor sharing in virtual time, as in fair queueing). A request of n tokens that starts when the
clock stands at c ends when it stands at c + n, however often the speed changes in between. Ends
lie in a heap by that clock; a change of the batch changes only how fast the clock runs. So every
change costs O(log n), and none looks at the other requests.
"""

from __future__ import annotations

from collections import deque
from heapq import heappop, heappush, heapreplace

from factory.simulation.assumptions import Speed
from factory.types import RolloutKey


class VirtualReplica:
    """Requests that run, and requests that wait for a place.

    Args:
        steps: seconds of a decoding step by batch size (`Speed.steps`).
        seat: which of the cluster's replicas this one is; its successors have the same.
        now: virtual seconds.
    """

    __slots__ = (
        "_at", "_clock", "_heap", "_most", "_queue", "_second_per_prompt_token", "_steps",
        "_waiting", "due", "name", "running", "seat",
    )  # fmt: skip

    def __init__(self, name: str, seat: int, speed: Speed, steps: list[float], now: float) -> None:
        self.name = name
        self.seat = seat
        self.due = 0
        """Number of the entry in the world's agenda that is the valid one."""
        self.running: dict[RolloutKey, tuple[float, int]] = {}
        """What the clock shows at the end of each, and its tokens from here."""
        self._steps = steps
        self._most = speed.sequences
        self._second_per_prompt_token = 1 / speed.prefill
        self._heap: list[tuple[float, RolloutKey]] = []
        self._waiting: dict[RolloutKey, tuple[int, int]] = {}
        self._queue: deque[RolloutKey] = deque()
        self._clock = 0.0
        self._at = now

    def take(self, now: float, key: RolloutKey, tokens: int, prompt: int) -> bool:
        """Hold one more request of `tokens` behind a prompt; whether it runs at once."""
        if len(self.running) < self._most:
            self._advance(now)
            self._begin(key, tokens, prompt)
            return True
        self._waiting[key] = (tokens, prompt)
        self._queue.append(key)
        return False

    def end(self, now: float) -> RolloutKey:
        """The next request ends now; one that waits takes its place.

        `next_end` has told that there is one, and nothing has changed since.
        """
        heap, running, waiting, queue = self._heap, self.running, self._waiting, self._queue
        self._clock, ended = heap[0]
        self._at = now
        del running[ended]
        while queue:
            key = queue.popleft()
            if (entry := waiting.pop(key, None)) is not None:
                tokens, prompt = entry
                self._at = now + prompt * self._second_per_prompt_token
                finish = self._clock + tokens
                running[key] = (finish, tokens)
                heapreplace(heap, (finish, key))
                return ended
        heappop(heap)
        return ended

    def cut(self, now: float, key: RolloutKey) -> int | None:
        """End a request early: its tokens up to now; None if it has ended already."""
        if self._waiting.pop(key, None) is not None:
            return 0
        self._advance(now)
        if (written := self.written(key)) is not None:
            del self.running[key]
            self._fill()
        return written

    def next_end(self) -> float | None:
        """When the next request ends, if nothing changes until then."""
        heap, running = self._heap, self.running
        while heap:
            finish, key = heap[0]
            if key in running:
                return self._at + (finish - self._clock) * self._steps[len(running)]
            heappop(heap)
        return None

    def lose(self, now: float) -> dict[RolloutKey, int]:
        """The replica is gone: tokens written here, by request."""
        self._advance(now)
        lost = {key: self.written(key) or 0 for key in self.running}
        lost.update(dict.fromkeys(self._waiting, 0))
        self.running.clear()
        self._waiting.clear()
        self.due = -1
        return lost

    def written(self, key: RolloutKey) -> int | None:
        """Tokens of a running request up to the last change; None if it does not run."""
        if (entry := self.running.get(key)) is None:
            return None
        finish, tokens = entry
        return min(tokens, max(0, int(tokens - (finish - self._clock) + 1e-6)))

    def _advance(self, now: float) -> None:
        # `_at` lies ahead of `now` while prompts are read: the clock stands still until then.
        if now > self._at:
            if self.running:
                self._clock += (now - self._at) / self._steps[len(self.running)]
            self._at = now

    def _begin(self, key: RolloutKey, tokens: int, prompt: int) -> None:
        self._at += prompt * self._second_per_prompt_token
        finish = self._clock + tokens
        self.running[key] = (finish, tokens)
        heappush(self._heap, (finish, key))

    def _fill(self) -> None:
        queue, waiting = self._queue, self._waiting
        while queue:
            key = queue.popleft()
            if (entry := waiting.pop(key, None)) is not None:
                self._begin(key, *entry)
                return
