"""One engine at work in virtual time: a batch whose requests share its speed.

Every running request gets one token per step, so they all move along one clock that counts steps
(processor sharing in virtual time, as in fair queueing). A request of n tokens that starts when the
clock stands at c ends when it stands at c + n, however often the speed changes in between. Ends
lie in a heap by that clock; a change of the batch changes only how fast the clock runs. So every
change costs O(log n), and none looks at the other requests. What is cut short stays in the heap
until it is on top.
"""

from __future__ import annotations

from collections import deque
from heapq import heappop, heappush, heapreplace

from factory.simulation.assumptions import Speed
from factory.simulation.flight import GONE, WAITS, Flight


class VirtualReplica:
    """Requests that run, and requests that wait for a place.

    Args:
        steps: seconds of a decoding step by batch size (`Speed.steps`).
        seat: which of the cluster's replicas this one is; its successors have the same.
        now: virtual seconds.
    """

    __slots__ = (
        "_at", "_clock", "_entries", "_heap", "_most", "_queue", "_second_per_prompt_token",
        "_steps", "due", "name", "running", "seat", "waiting",
    )  # fmt: skip

    def __init__(self, name: str, seat: int, speed: Speed, steps: list[float], now: float) -> None:
        self.name = name
        self.seat = seat
        self.due = 0
        """Number of the entry in the world's agenda that is the valid one."""
        self.running = self.waiting = 0
        """Requests."""
        self._steps = steps
        self._most = speed.sequences
        self._second_per_prompt_token = 1 / speed.prefill
        self._heap: list[tuple[float, int, Flight]] = []
        self._entries = 0
        self._queue: deque[Flight] = deque()
        self._clock = 0.0
        self._at = now

    def take(self, now: float, flight: Flight) -> bool:
        """Hold one more request, of `flight.left` tokens; whether it runs at once."""
        if self.running < self._most:
            self._advance(now)
            self._begin(flight)
            return True
        flight.finish = WAITS
        self.waiting += 1
        self._queue.append(flight)
        return False

    def end(self, now: float) -> Flight:
        """The next request ends now; one that waits takes its place.

        `next_end` has told that there is one, and nothing has changed since.
        """
        heap, queue = self._heap, self._queue
        self._clock, _, ended = heap[0]
        self._at = now
        ended.finish = GONE
        while queue:
            flight = queue.popleft()
            if flight.finish == WAITS:
                self.waiting -= 1
                self._at = now + flight.prompt * self._second_per_prompt_token
                self._entries = entry = self._entries + 1
                flight.finish = finish = self._clock + flight.left
                heapreplace(heap, (finish, entry, flight))
                return ended
        heappop(heap)
        self.running -= 1
        return ended

    def cut(self, now: float, flight: Flight) -> int | None:
        """End a request early: its tokens up to now; None if it has ended already."""
        if flight.finish == WAITS:
            flight.finish = GONE
            self.waiting -= 1
            return 0
        self._advance(now)
        if (written := self.written(flight)) is not None:
            flight.finish = GONE
            self.running -= 1
            self._fill()
        return written

    def next_end(self) -> float | None:
        """When the next request ends, if nothing changes until then."""
        heap = self._heap
        while heap:
            finish, _, flight = heap[0]
            if flight.finish == finish:
                return self._at + (finish - self._clock) * self._steps[self.running]
            heappop(heap)
        return None

    def lose(self, now: float) -> list[tuple[Flight, int]]:
        """The replica is gone: each request with the tokens written here."""
        self._advance(now)
        lost = [(f, self.written(f) or 0) for finish, _, f in self._heap if f.finish == finish]
        lost += [(flight, 0) for flight in self._queue if flight.finish == WAITS]
        for flight, _ in lost:
            flight.finish = GONE
        self.running = self.waiting = 0
        self.due = -1
        return lost

    def written(self, flight: Flight) -> int | None:
        """Tokens of a running request up to the last change; None if it does not run."""
        if flight.finish < 0:
            return None
        left = flight.finish - self._clock
        return min(flight.left, max(0, int(flight.left - left + 1e-6)))

    def _advance(self, now: float) -> None:
        # `_at` lies ahead of `now` while prompts are read: the clock stands still until then.
        if now > self._at:
            if self.running:
                self._clock += (now - self._at) / self._steps[self.running]
            self._at = now

    def _begin(self, flight: Flight) -> None:
        self._at += flight.prompt * self._second_per_prompt_token
        self.running += 1
        self._entries = entry = self._entries + 1
        flight.finish = finish = self._clock + flight.left
        heappush(self._heap, (finish, entry, flight))

    def _fill(self) -> None:
        queue = self._queue
        while queue:
            flight = queue.popleft()
            if flight.finish == WAITS:
                self.waiting -= 1
                self._begin(flight)
                return
