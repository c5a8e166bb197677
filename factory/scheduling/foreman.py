"""The scheduler: a pure, deterministic state machine.

Events in, actions out; no I/O, no clock, no randomness, no knowledge of Ray. The run drives it
with real events (`factory.rollouts`); a simulator can drive the same object with virtual ones.

    event                         what the foreman does
    ------------------------------------------------------------------------------------
    Admitted(problem, history)    asks the policy, queues rollouts, re-queues what was cut off
    SourceEnded                   stops asking for problems
    ReplicaReady(replica, slots)  hands out queued rollouts
    ReplicaLost(replica)          queues its rollouts again, to be continued
    Finished(key, ...)            frees the slot; Verify, unless it was aborted
    Failed(key, fatal)            tries again elsewhere, then sets the problem aside
    Judged(key, outcome)          asks the policy: more rollouts, or close and abort the rest
    Worked(gpu_s)                 adds to what the policy's budget of GPU-hours is held against

A problem that the policy defers is parked, and asked about again at every census of the pool
(`pool.py`, noted in the ledger); at the end the most promising go on first, as long as the policy
has budget for them, and the rest is closed.

Who waits for whom: a replica never waits for the foreman, because it holds more rollouts than it
can run at once (`slots` is set so by the engine); the foreman asks for problems (`Admit`) as soon
as the queue is shorter than the slots; admission stops at `max_open` problems, and new rollouts
wait while `max_unjudged` have no verdict yet, so that slow verification holds back first the
replicas and then the source, and never fills memory.

Who is to blame for a lost replica: most losses are nobody's fault, but a rollout that kills engines
must be found before it has killed many. What was in flight at a loss is suspect and runs again, at
first in any company. At a further loss the suspects aboard are split: each may share a replica with
half as many suspects as before, down to none; what ends well is cleared. Alone, a suspect waits
until a replica is empty and has it to itself; whoever loses two replicas that way, while others end
well, has its problem set aside. The guilty one of n is found in about log2(n) losses, the others
lose a little time. Where nothing ends well any more, replicas may be at fault: then it takes
`_LONELY` losses for every problem that lost one alone (`factory.crew.fence` delays them).

A problem over which the checker fails `max_unchecked` times, and never can tell, is set aside too.
Memory: proportional to open problems and replicas, never to the length of the run.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from factory.policies import DEFERRED, WAIT, Policy
from factory.scheduling.berth import Berth
from factory.scheduling.events import (
    Abort,
    Action,
    Admit,
    Admitted,
    Close,
    Event,
    Failed,
    Finished,
    Generate,
    Judged,
    Note,
    ReplicaLost,
    ReplicaReady,
    SourceEnded,
    Verify,
    Worked,
)
from factory.scheduling.opened import Opened
from factory.scheduling.pool import Pool
from factory.scheduling.waiting import WaitingLine
from factory.types import RolloutKey

_CONVICTIONS = 2
_LONELY = 6


class Foreman:
    """One run's scheduler.

    Args:
        policy: decides per problem.
        max_attempts: a rollout that fails this often has its problem set aside.
        max_open: admission stops at this many open problems.
        max_unjudged: no further rollout is handed out while this many wait for their verdicts.
        max_unchecked: a problem whose checker fails so often, and never can tell, is set aside.
        max_parked: beyond this many deferred problems the oldest is closed.
        pool: what the ledger knows of finished problems; it is kept up here.
    """

    def __init__(
        self,
        policy: Policy,
        *,
        max_attempts: int = 3,
        max_open: int = 100_000,
        max_unjudged: int = 10_000,
        max_unchecked: int = 8,
        max_parked: int = 10_000,
        pool: Pool | None = None,
    ) -> None:
        self._policy = policy
        self._pool = pool or Pool()
        self._max_parked = max_parked
        self._parked: dict[str, float] = {}
        self._max_attempts = max_attempts
        self._max_open = max_open
        self._max_unjudged = max_unjudged
        self._max_unchecked = max_unchecked
        self._unjudged = 0
        self._ended = 0
        self._accused: dict[str, None] = {}
        self._problems: dict[str, Opened] = {}
        self._queue = WaitingLine(self._predict)
        self._suspects: deque[RolloutKey] = deque()
        self._loners: deque[RolloutKey] = deque()
        self._berths: dict[str, Berth] = {}
        self._reserved: dict[Berth, RolloutKey] = {}
        self._total_slots = 0
        self._free: dict[Berth, None] = {}
        self._asked = 0
        self._source_ended = False
        self._actions: list[Action] = []
        self._handlers: dict[type, Callable[..., None]] = {
            Admitted: self._admitted,
            SourceEnded: self._source_end,
            ReplicaReady: self._replica_ready,
            ReplicaLost: self._replica_lost,
            Finished: self._finished,
            Failed: self._failed,
            Judged: self._judged,
            Worked: lambda event: self._pool.work(event.gpu_s),
        }

    @property
    def done(self) -> bool:
        """Nothing open, nothing to come."""
        return self._source_ended and not self._problems

    @property
    def source_ended(self) -> bool:
        """No further problem will come."""
        return self._source_ended

    @property
    def open_problems(self) -> int:
        return len(self._problems)

    @property
    def running(self) -> int:
        """Rollouts handed to replicas and not yet ended."""
        return sum(len(berth.running) for berth in self._berths.values())

    def handle(self, *events: Event) -> list[Action]:
        """Take events in order; return what is to be done, in order."""
        for event in events:
            self._handlers[type(event)](event)
        self._look()
        self._dispatch()
        self._revive()
        self._ask()
        actions, self._actions = self._actions, []
        return actions

    # events

    def _admitted(self, event: Admitted) -> None:
        self._asked = max(0, self._asked - 1)
        past = event.history
        problem, again = Opened.of(past)
        self._problems[event.problem_id] = problem
        self._pool.add(problem.tally.sums)
        self._pool.running += len(again)
        for index in again:
            self._queue.append((RolloutKey(event.problem_id, index), True))
        self._actions += [Verify(RolloutKey(event.problem_id, i)) for i in past.unjudged]
        self._unjudged += len(past.unjudged)
        self._decide(event.problem_id)

    def _source_end(self, _: SourceEnded) -> None:
        self._source_ended = True
        self._asked = 0
        self._queue.longest_first()

    def _replica_ready(self, event: ReplicaReady) -> None:
        berth = self._berths[event.replica] = Berth(event.replica, event.slots)
        self._total_slots += event.slots
        self._free[berth] = None

    def _replica_lost(self, event: ReplicaLost) -> None:
        if (berth := self._berths.pop(event.replica, None)) is None:
            return
        self._total_slots -= berth.slots
        self._free.pop(berth, None)
        suspects, lost = berth.aboard, berth.running
        alone = self._reserved.pop(berth, None)
        if alone is not None and alone not in lost:
            self._loners.appendleft(alone)
        for key in lost:
            problem = self._problems[key.problem_id]
            del problem.placed[key.index]
            company = max(1, (len(suspects) + 1) // 2) if key in suspects else len(lost)
            problem.suspects[key.index] = company
            guilty = key == alone and self._convict(problem, key)
            losses = problem.convictions.get(key.index, 0)
            said = f", the last one with: {event.reason}" if event.reason else ""
            self._again(
                key, problem, f"set aside: it lost {losses} replicas alone{said}", give_up=guilty
            )

    def _convict(self, problem: Opened, key: RolloutKey) -> bool:
        """A rollout lost a replica that it had to itself; whether that is enough."""
        losses = problem.convictions[key.index] = problem.convictions.get(key.index, 0) + 1
        self._accused[key.problem_id] = None
        others_end = self._ended > problem.first_alone.setdefault(key.index, self._ended)
        return losses >= (_CONVICTIONS if others_end else _LONELY * len(self._accused))

    def _finished(self, event: Finished) -> None:
        problem = self._release(event.key)
        if problem is None:
            return
        problem.finished(event, self._pool)
        self._ended += 1
        self._accused.clear()
        if event.aborted:
            self._decide(event.key.problem_id)
        else:  # it has changed nothing that a policy decides by, until it has its verdict
            self._unjudged += 1
            self._actions.append(Verify(event.key))

    def _failed(self, event: Failed) -> None:
        problem = self._release(event.key)
        if problem is None:
            return
        attempts = problem.attempts.get(event.key.index, 0) + 1
        problem.attempts[event.key.index] = attempts
        give_up = event.fatal or attempts >= self._max_attempts
        reason = f"refused: {event.reason}" if event.fatal else f"set aside: {event.reason}"
        self._again(event.key, problem, reason, give_up=give_up)

    def _judged(self, event: Judged) -> None:
        problem = self._problems.get(event.key.problem_id)
        if problem is None:
            return
        self._unjudged -= 1
        problem.judged(event, self._pool)
        failed = problem.unchecked
        if failed >= self._max_unchecked and not (problem.tally.judged or problem.closing):
            reason = f"set aside: the checker failed on {failed} rollouts and judged none, the last"
            self._begin_close(event.key.problem_id, problem, f"{reason} outcome: {event.said}")
        self._decide(event.key.problem_id)

    # what follows from them

    def _release(self, key: RolloutKey) -> Opened | None:
        """Free the slot of a rollout; None for one that is not (or no longer) running here."""
        problem = self._problems.get(key.problem_id)
        berth = problem.placed.pop(key.index, None) if problem else None
        if berth is None:
            return None
        del berth.running[key]
        if self._reserved.get(berth) == key:
            del self._reserved[berth]
        if berth not in self._reserved:
            self._free[berth] = None
        berth.aboard.pop(key, None)
        return problem

    def _again(self, key: RolloutKey, problem: Opened, reason: str, *, give_up: bool) -> None:
        """Queue a rollout once more, or set its problem aside."""
        if problem.closing or give_up:
            problem.run(-1, self._pool)
            problem.tally.unknown += 1
            if not problem.closing:
                self._begin_close(key.problem_id, problem, reason)
            self._end_close(key.problem_id, problem)
            return
        company = problem.suspects.get(key.index)
        if company is None:
            self._queue.appendleft((key, True))
        elif company == 1:
            self._loners.append(key)
        else:
            self._suspects.append(key)

    def _decide(self, problem_id: str, *, park: bool = True) -> None:
        problem = self._problems[problem_id]
        if not problem.closing:
            decision = self._policy.decide(problem.tally, self._pool)
            if decision is WAIT:
                return
            for _ in range(decision.start):
                self._queue.append((RolloutKey(problem_id, problem.next_index), False))
                problem.next_index += 1
            problem.tally.started += decision.start
            problem.run(decision.start, self._pool)
            self._parked.pop(problem_id, None)
            if decision.close == DEFERRED and park and not problem.tally.outstanding:
                self._park(problem_id, decision.worth)
            elif decision.close:
                self._begin_close(problem_id, problem, decision.close)
        self._end_close(problem_id, problem)

    def _predict(self, key: RolloutKey) -> float:
        """Length of a rollout to come: as the problem's earlier ones, else as the pool's."""
        problem = self._problems.get(key.problem_id)
        return (problem.tally.mean_tokens if problem else 0.0) or self._pool.mean_tokens

    def _park(self, problem_id: str, worth: float) -> None:
        self._parked[problem_id] = worth
        if len(self._parked) > self._max_parked:
            oldest = next(iter(self._parked))
            del self._parked[oldest]
            self._begin_close(oldest, self._problems[oldest], DEFERRED)
            if oldest != problem_id:
                self._end_close(oldest, self._problems[oldest])

    def _look(self) -> None:
        """Take a census when it is time, and ask again about what was deferred."""
        if (census := self._pool.look()) is not None:
            self._actions.append(Note(census))
            for problem_id in list(self._parked):
                self._decide(problem_id)

    def _revive(self) -> None:
        """Nothing else to do: the deferred go on, the most promising first, or are closed."""
        if not self._parked or not self._source_ended or self._queue or not self._free:
            return
        self._pool.closing = True
        for problem_id in sorted(self._parked, key=lambda p: -self._parked[p]):
            if len(self._queue) >= self._total_slots:
                break
            self._decide(problem_id, park=False)
        self._pool.closing = False
        self._dispatch()

    def _begin_close(self, problem_id: str, problem: Opened, reason: str) -> None:
        problem.closing = reason
        # What still waits in the queue never started; it is skipped there.
        problem.run(len(problem.placed) - problem.tally.running, self._pool)
        for index, berth in problem.placed.items():
            self._actions.append(Abort(berth.name, RolloutKey(problem_id, index)))

    def _end_close(self, problem_id: str, problem: Opened) -> None:
        if problem.closing and not problem.tally.outstanding:
            del self._problems[problem_id]
            self._parked.pop(problem_id, None)
            self._actions.append(Close(problem_id, problem.closing, problem.tally.sums))

    def _dispatch(self) -> None:
        """Hand queued rollouts to replicas with free slots, one at a time in turn."""
        self._dispatch_alone()
        self._dispatch_suspects()
        while self._free and self._queue and self._unjudged < self._max_unjudged:
            self._place(next(iter(self._free)), *self._queue.popleft())

    def _dispatch_alone(self) -> None:
        """Reserve a replica for each that must run alone, and start it there once it is empty."""
        while self._loners and len(self._reserved) < len(self._berths):
            open_to_all = (b for b in self._berths.values() if b not in self._reserved)
            berth = min(open_to_all, key=lambda b: len(b.running))
            self._reserved[berth] = self._loners.popleft()
            self._free.pop(berth, None)
        for berth, key in list(self._reserved.items()):
            if not berth.running and not self._place(berth, key, interrupted=True):
                del self._reserved[berth]
                self._free[berth] = None

    def _dispatch_suspects(self) -> None:
        """Place suspects where they find no more company of their kind than they may have."""
        for berth in list(self._free) if self._suspects else ():
            aboard = berth.aboard
            while self._suspects and berth in self._free:
                key = self._suspects[0]
                problem = self._problems.get(key.problem_id)
                company = problem.suspects[key.index] if problem else 0
                if problem and len(aboard) >= min([company, *aboard.values()]):
                    break
                self._suspects.popleft()
                if self._place(berth, key, interrupted=True):
                    aboard[key] = company

    def _place(self, berth: Berth, key: RolloutKey, interrupted: bool) -> bool:
        """Hand one rollout to a replica; False if its problem is finished meanwhile."""
        problem = self._problems.get(key.problem_id)
        if problem is None or problem.closing:
            return False
        self._free.pop(berth, None)
        berth.running[key] = None
        problem.placed[key.index] = berth
        self._actions.append(Generate(berth.name, key, interrupted))
        if len(berth.running) < berth.slots and berth not in self._reserved:
            self._free[berth] = None
        return True

    def _ask(self) -> None:
        """Ask for problems before the queue runs dry."""
        if self._source_ended:
            return
        room = self._max_open - len(self._problems) - self._asked
        short = self._total_slots - len(self._queue) - self._asked
        if min(room, short) > 0:
            self._asked += min(room, short)
            self._actions.append(Admit(min(room, short)))
