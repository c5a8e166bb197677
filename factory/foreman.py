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

Who waits for whom: a replica never waits for the foreman, because it holds more rollouts than it
can run at once (`slots` is set so by the engine); the foreman asks for problems (`Admit`) as soon
as the queue is shorter than the slots; admission stops at `max_open` problems, so that slow
verification holds back the source and never fills memory.

Who is to blame for a lost replica: most losses are nobody's fault, but a rollout that kills engines
must be found before it has killed many. What was in flight at a loss is suspect and runs again, at
first in any company. At a further loss the suspects aboard are split: each may share a replica with
half as many suspects as before, down to none; what ends well is cleared. Alone, a suspect waits
until a replica is empty and has it to itself; whoever loses two replicas that way has its problem
set aside. The guilty one of n is found in about log2(n) losses, the others lose a little time.

Memory: proportional to open problems and replicas, never to the length of the run.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from factory.events import (
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
    ReplicaLost,
    ReplicaReady,
    SourceEnded,
    Verify,
)
from factory.policies import Policy, Tally
from factory.types import Outcome, RolloutKey

_CONVICTIONS = 2


@dataclass(slots=True)
class _Open:
    """An open problem."""

    tally: Tally
    next_index: int = 0
    closing: str = ""
    """Why it is finished; it stays here until nothing of it is outstanding."""
    attempts: dict[int, int] = field(default_factory=dict)
    """Failed attempts per rollout index."""
    suspects: dict[int, int] = field(default_factory=dict)
    """Per rollout index that lost a replica: how many suspects may share one with it."""
    convictions: dict[int, int] = field(default_factory=dict)
    """Per rollout index: replicas lost while it had them to itself."""
    placed: dict[int, str] = field(default_factory=dict)
    """Replica per generating rollout index."""


class Foreman:
    """One run's scheduler.

    Args:
        policy: decides per problem.
        max_attempts: a rollout that fails this often has its problem set aside.
        max_open: admission stops at this many open problems.
    """

    def __init__(self, policy: Policy, *, max_attempts: int = 3, max_open: int = 100_000) -> None:
        self._policy = policy
        self._max_attempts = max_attempts
        self._max_open = max_open
        self._problems: dict[str, _Open] = {}
        self._queue: deque[tuple[RolloutKey, bool]] = deque()
        self._suspects: deque[RolloutKey] = deque()
        self._aboard: dict[str, dict[RolloutKey, int]] = {}
        self._loners: deque[RolloutKey] = deque()
        self._reserved: dict[str, RolloutKey] = {}
        self._slots: dict[str, int] = {}
        self._total_slots = 0
        self._running: dict[str, dict[RolloutKey, None]] = {}
        self._free: dict[str, None] = {}
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
        return sum(len(keys) for keys in self._running.values())

    def handle(self, *events: Event) -> list[Action]:
        """Take events in order; return what is to be done, in order."""
        for event in events:
            self._handlers[type(event)](event)
        self._dispatch()
        self._ask()
        actions, self._actions = self._actions, []
        return actions

    # events

    def _admitted(self, event: Admitted) -> None:
        self._asked = max(0, self._asked - 1)
        past = event.history
        known = set(past.ended)
        next_index = max((*past.ended, *past.partial), default=-1) + 1
        # Indices below the highest one on record were in flight when the run was cut off. They
        # run again under the same index, so that the cut favours no length.
        again = [i for i in range(next_index) if i not in known]
        tally = Tally(
            started=next_index,
            running=len(again),
            waiting=len(past.unjudged),
            correct=past.correct,
            incorrect=past.incorrect,
            unknown=past.unknown,
        )
        self._problems[event.problem_id] = _Open(tally=tally, next_index=next_index)
        for index in again:
            self._queue.append((RolloutKey(event.problem_id, index), True))
        self._actions += [Verify(RolloutKey(event.problem_id, i)) for i in past.unjudged]
        self._decide(event.problem_id)

    def _source_end(self, _: SourceEnded) -> None:
        self._source_ended = True
        self._asked = 0

    def _replica_ready(self, event: ReplicaReady) -> None:
        self._slots[event.replica] = event.slots
        self._total_slots += event.slots
        self._running[event.replica] = {}
        self._aboard[event.replica] = {}
        self._free[event.replica] = None

    def _replica_lost(self, event: ReplicaLost) -> None:
        self._total_slots -= self._slots.pop(event.replica, 0)
        self._free.pop(event.replica, None)
        suspects = self._aboard.pop(event.replica, {})
        lost = self._running.pop(event.replica, {})
        alone = self._reserved.pop(event.replica, None)
        if alone is not None and alone not in lost:
            self._loners.appendleft(alone)
        for key in lost:
            problem = self._problems[key.problem_id]
            del problem.placed[key.index]
            company = max(1, (len(suspects) + 1) // 2) if key in suspects else len(lost)
            problem.suspects[key.index] = company
            if key == alone:
                convictions = problem.convictions.get(key.index, 0) + 1
                problem.convictions[key.index] = convictions
            guilty = problem.convictions.get(key.index, 0) >= _CONVICTIONS
            self._again(
                key, problem, f"set aside: it lost {_CONVICTIONS} replicas alone", give_up=guilty
            )

    def _finished(self, event: Finished) -> None:
        problem = self._release(event.key)
        if problem is None:
            return
        problem.tally.running -= 1
        if event.aborted:
            problem.tally.unknown += 1
        else:
            problem.tally.waiting += 1
            self._actions.append(Verify(event.key))
        self._decide(event.key.problem_id)

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
        problem.tally.waiting -= 1
        if event.outcome is Outcome.CORRECT:
            problem.tally.correct += 1
        elif event.outcome.judged:
            problem.tally.incorrect += 1
        else:
            problem.tally.unknown += 1
        self._decide(event.key.problem_id)

    # what follows from them

    def _release(self, key: RolloutKey) -> _Open | None:
        """Free the slot of a rollout; None for one that is not (or no longer) running here."""
        problem = self._problems.get(key.problem_id)
        if problem is None or key.index not in problem.placed:
            return None
        replica = problem.placed.pop(key.index)
        del self._running[replica][key]
        if self._reserved.get(replica) == key:
            del self._reserved[replica]
        if replica not in self._reserved:
            self._free[replica] = None
        self._aboard[replica].pop(key, None)
        return problem

    def _again(self, key: RolloutKey, problem: _Open, reason: str, *, give_up: bool) -> None:
        """Queue a rollout once more, or set its problem aside."""
        if problem.closing or give_up:
            problem.tally.running -= 1
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

    def _decide(self, problem_id: str) -> None:
        problem = self._problems[problem_id]
        if not problem.closing:
            decision = self._policy.decide(problem.tally)
            for _ in range(decision.start):
                self._queue.append((RolloutKey(problem_id, problem.next_index), False))
                problem.next_index += 1
            problem.tally.started += decision.start
            problem.tally.running += decision.start
            if decision.close:
                self._begin_close(problem_id, problem, decision.close)
        self._end_close(problem_id, problem)

    def _begin_close(self, problem_id: str, problem: _Open, reason: str) -> None:
        problem.closing = reason
        # What still waits in the queue never started; it is skipped there.
        problem.tally.running = len(problem.placed)
        for index, replica in problem.placed.items():
            self._actions.append(Abort(replica, RolloutKey(problem_id, index)))

    def _end_close(self, problem_id: str, problem: _Open) -> None:
        if problem.closing and not problem.tally.outstanding:
            del self._problems[problem_id]
            self._actions.append(Close(problem_id, problem.closing))

    def _dispatch(self) -> None:
        """Hand queued rollouts to replicas with free slots, one at a time in turn."""
        self._dispatch_alone()
        self._dispatch_suspects()
        while self._queue and self._free:
            key, interrupted = self._queue.popleft()
            self._place(next(iter(self._free)), key, interrupted)

    def _dispatch_alone(self) -> None:
        """Reserve a replica for each that must run alone, and start it there once it is empty."""
        while self._loners and len(self._reserved) < len(self._slots):
            open_to_all = (r for r in self._slots if r not in self._reserved)
            replica = min(open_to_all, key=lambda r: len(self._running[r]))
            self._reserved[replica] = self._loners.popleft()
            self._free.pop(replica, None)
        for replica, key in list(self._reserved.items()):
            if not self._running[replica] and not self._place(replica, key, interrupted=True):
                del self._reserved[replica]
                self._free[replica] = None

    def _dispatch_suspects(self) -> None:
        """Place suspects where they find no more company of their kind than they may have."""
        for replica in list(self._free) if self._suspects else ():
            aboard = self._aboard[replica]
            while self._suspects and replica in self._free:
                key = self._suspects[0]
                problem = self._problems.get(key.problem_id)
                company = problem.suspects[key.index] if problem else 0
                if problem and len(aboard) >= min([company, *aboard.values()]):
                    break
                self._suspects.popleft()
                if self._place(replica, key, interrupted=True):
                    aboard[key] = company

    def _place(self, replica: str, key: RolloutKey, interrupted: bool) -> bool:
        """Hand one rollout to a replica; False if its problem is finished meanwhile."""
        problem = self._problems.get(key.problem_id)
        if problem is None or problem.closing:
            return False
        self._free.pop(replica, None)
        running = self._running[replica]
        running[key] = None
        problem.placed[key.index] = replica
        self._actions.append(Generate(replica, key, interrupted))
        if len(running) < self._slots[replica] and replica not in self._reserved:
            self._free[replica] = None
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
