"""The virtual clock: what the driver of a run does, with events that are computed.

    agenda (a heap of times)  --events, gathered-->  foreman
      ^                                                 |
      +------ replicas, judges, source, losses <--actions

The clock jumps to the next entry of the agenda. Everything that happens within `gather_s` of it is
handed to the foreman together, as the real driver does it, and the actions are carried out at the
end of that time. Nobody else decides anything.
"""

from __future__ import annotations

import gc
import random
import time
from collections.abc import Callable
from functools import partial
from heapq import heappop, heappush, heapreplace

from factory.crew.meter import Meter
from factory.policies import Policy, budgets, is_spent
from factory.scheduling import events as ev
from factory.scheduling.foreman import Foreman
from factory.scheduling.pool import Pool as Known
from factory.simulation.assumptions import Scenario
from factory.simulation.figures import Figures, Use
from factory.simulation.flight import Flight, Open
from factory.simulation.judges import VirtualJudges
from factory.simulation.pool import Pool
from factory.simulation.replica import VirtualReplica
from factory.simulation.source import VirtualSource
from factory.types import Outcome, RolloutKey

_WATCH = 1000
_TIMED = 16
"""One small batch of events in so many is timed: to ask the time costs more than one of them."""
_MANY = 1000
"""Events of a batch that is timed in any case."""
_YOUNG = 500_000
"""New objects between two looks for cycles: there are millions of them, and hardly a cycle."""


class World:
    """One simulated run. Make it, `run` it once, and read its `figures`.

    Args:
        policy: decides per problem, as in a real run.
        pool: the problems and their rollouts.
    """

    def __init__(self, scenario: Scenario, policy: Policy, pool: Pool) -> None:
        self.now = 0.0
        """Virtual seconds."""
        self.figures = Figures()
        self._scenario = scenario
        self._pool = pool
        self._policy = policy
        self._known = Known()
        self._foreman = Foreman(policy, pool=self._known)
        self._meter = Meter(
            scenario.gpus, on="gpu_hours" in budgets(policy), clock=lambda: self.now
        )
        self._steps = scenario.speed.steps
        self._judges: VirtualJudges[Flight] = VirtualJudges(scenario.judging, scenario.seed)
        self._source = VirtualSource(scenario.supply)
        self._random = random.Random(scenario.seed)
        self._agenda: list[tuple[float, int, VirtualReplica | Callable[[float], None]]] = []
        self._entries = 0
        self._events: list[ev.Event] = []
        self._replicas: dict[str, VirtualReplica] = {}
        self._seats: list[VirtualReplica | None] = [None] * scenario.replicas
        self._held = 0
        self._successors = [0] * scenario.replicas
        self._busy = 0
        self._wanted = 0
        self._asked_for = False
        self._told = 0
        self._open: dict[str, Open] = {}
        self._flights: dict[RolloutKey, Flight] = {}

    def run(self, watch: Callable[[World], None] = lambda _: None) -> Figures:
        """Until nothing is left to do.

        Args:
            watch: called now and then, to show progress.
        """
        before = gc.get_threshold()
        gc.set_threshold(_YOUNG, *before[1:])
        try:
            return self._run(watch)
        finally:
            gc.set_threshold(*before)

    def _run(self, watch: Callable[[World], None]) -> Figures:
        for seat in range(self._scenario.replicas):
            self._start(seat, 0.0)
        self._plan_losses()
        rounds = 0
        while not self._foreman.done:
            # What has happened already waits no longer than the gathering time.
            first = self.now if self._events else self._next()
            until = first + self._scenario.gather_s
            self._count(until)
            self.now = until
            self._gather(until)
            self._work()
            self._act(self._tell())
            self._judge()
            self._take_problems()
            rounds += 1
            if rounds % _WATCH == 0:
                watch(self)
        self._work(last=True)
        return self.figures

    @property
    def problems(self) -> int:
        """Admitted so far."""
        return self._source.taken

    # time

    def _at(self, when: float, what: VirtualReplica | Callable[[float], None]) -> int:
        self._entries += 1
        heappush(self._agenda, (when, self._entries, what))
        return self._entries

    def _gather(self, until: float) -> None:
        """Let everything happen that happens until then."""
        agenda = self._agenda
        told = self._events.append
        while agenda and agenda[0][0] <= until:
            when, entry, what = agenda[0]
            if type(what) is not VirtualReplica:
                heappop(agenda)
                what(when)  # type: ignore[operator]
            elif what.due != entry:
                heappop(agenda)
            else:
                before = what.running
                ended = what.end(when)
                self._busy += what.running - before
                end = what.next_end()
                if end is None:
                    what.due = -1
                    heappop(agenda)
                else:
                    self._entries = what.due = self._entries + 1
                    heapreplace(agenda, (end, what.due, what))
                told(ev.Finished(ended.key, num_tokens=ended.tokens))

    def _next(self) -> float:
        """When something happens next, past entries that are no longer valid."""
        agenda = self._agenda
        while agenda:
            when, entry, what = agenda[0]
            if type(what) is not VirtualReplica or what.due == entry:
                return when
            heappop(agenda)
        raise RuntimeError(f"nothing is to come, and {len(self._open)} problems are open")

    def _plan(self, replica: VirtualReplica) -> None:
        """Put the next end on this replica on the agenda; an earlier entry is void."""
        end = replica.next_end()
        replica.due = -1 if end is None else self._at(end, replica)

    def _count(self, until: float) -> None:
        figures, places = self.figures, self._scenario.speed.sequences
        ready = len(self._replicas) * places
        figures.spend(self.now, until, busy=self._busy, ready=ready, held=self._held * places)

    def _tell(self) -> list[ev.Action]:
        events, self._events = self._events, []
        self.figures.events += len(events)
        self._told += 1
        times = 1 if len(events) >= _MANY else _TIMED
        if self._told % times:
            return self._foreman.handle(*events)
        before = time.thread_time()
        actions = self._foreman.handle(*events)
        self.figures.foreman_s += times * (time.thread_time() - before)
        return actions

    def _work(self, *, last: bool = False) -> None:
        """Tells for how long replicas were ready, from time to time."""
        if (piece := self._meter.piece(last=last)) is not None:
            self.figures.gpu_s += piece.gpu_ms / 1000
            self._events.append(ev.Worked(piece.gpu_ms / 1000))

    # problems

    def _take_problems(self) -> None:
        if self._foreman.source_ended:
            return
        if is_spent(self._policy, self._known):
            self._source.stop()
        if self._wanted:
            taken = self._source.taken
            count = self._source.take(self.now, self._wanted)
            self._wanted -= count
            for number in range(taken, taken + count):
                name = f"problem-{number}"
                self._open[name] = Open(self._pool.problem(number))
                self._events.append(ev.Admitted(name))
            if count:
                figures = self.figures
                figures.admitted_s = self.now
                figures.fed = Use()
                figures.fed.add(figures.whole)
                figures.most_open = max(figures.most_open, len(self._open))
        if self._source.ended(self.now):
            self._events.append(ev.SourceEnded())
        elif self._wanted and not self._asked_for:
            self._asked_for = True
            self._at(self._source.next(self.now), self._ask_again)

    def _ask_again(self, _: float) -> None:
        self._asked_for = False  # that the clock stops here is all that is needed

    # what the foreman decides is carried out

    def _act(self, actions: list[ev.Action]) -> None:
        started: dict[VirtualReplica, None] = {}
        flights = self._flights
        for action in actions:
            kind = type(action)
            if kind is ev.Generate:
                self._generate(action, started)  # type: ignore[arg-type]
            elif kind is ev.Verify:
                self._judges.add(flights.pop(action.key))  # type: ignore[union-attr]
            elif kind is ev.Abort:
                self._abort(action, started)  # type: ignore[arg-type]
            elif kind is ev.Close:
                self._close(action)  # type: ignore[arg-type]
            elif kind is ev.Admit:
                self._wanted += action.count  # type: ignore[union-attr]
        for replica in started:
            self._plan(replica)

    def _generate(self, action: ev.Generate, started: dict[VirtualReplica, None]) -> None:
        key = action.key
        if (flight := self._flights.get(key)) is None:
            problem = self._open[key.problem_id]
            problem.flying += 1
            flight = self._flights[key] = Flight(key, problem, self._pool.prompt_tokens)
        replica = self._replicas[action.replica]
        if replica.take(self.now, flight):
            self._busy += 1
            started[replica] = None

    def _abort(self, action: ev.Abort, touched: dict[VirtualReplica, None]) -> None:
        replica, flight = self._replicas.get(action.replica), self._flights.get(action.key)
        if replica is None or flight is None:
            return
        before = replica.running
        written = replica.cut(self.now, flight)
        if written is None:  # it has ended, and the foreman hears of it with the next events
            return
        self._busy += replica.running - before
        touched[replica] = None
        written = self._drop(flight, written)
        self._events.append(ev.Finished(action.key, aborted=True, num_tokens=written))

    def _drop(self, flight: Flight, written: int) -> int:
        """A rollout ends before its end: its tokens in all."""
        del self._flights[flight.key]
        problem = flight.problem
        written += flight.logged
        problem.flying -= 1
        problem.tokens += written
        self.figures.tokens.aborted += written
        self.figures.aborted += 1
        return written

    def _close(self, action: ev.Close) -> None:
        if self._open[action.problem_id].flying:  # given up by the foreman, not by us
            for key in [k for k in self._flights if k.problem_id == action.problem_id]:
                self._drop(self._flights[key], 0)
        problem = self._open.pop(action.problem_id)
        self.figures.close(
            action.reason,
            problem.drawn.rate,
            right=problem.right,
            rollouts=problem.rollouts,
            tokens=problem.tokens,
            keep=self._scenario.keep,
        )

    # verdicts

    def _judge(self) -> None:
        judges = self._judges
        while (batch := judges.batch()) is not None:
            seconds, rollouts = batch
            self._at(self.now + seconds, partial(self._judged, rollouts, seconds))
        if judges.waiting > self.figures.most_unjudged:
            self.figures.most_unjudged = judges.waiting

    def _judged(self, rollouts: list[tuple[Flight, bool]], took: float, _: float) -> None:
        self._judges.done(took / len(rollouts))
        events, keep, sums = self._events, self._scenario.keep, self.figures.tokens
        self.figures.rollouts += len(rollouts)
        for flight, hung in rollouts:
            key, tokens, problem = flight.key, flight.tokens, flight.problem
            problem.flying -= 1
            problem.tokens += tokens
            problem.rollouts += 1
            if hung:
                sums.unjudged += tokens
                events.append(ev.Judged(key, Outcome.TIMEOUT))
            elif flight.right and not problem.is_new(flight.wording):
                sums.repeated += tokens
                events.append(ev.Judged(key, Outcome.CORRECT, True))
            elif flight.right:
                problem.right += 1
                if problem.right <= keep:
                    sums.accepted += tokens
                else:
                    sums.surplus += tokens
                events.append(ev.Judged(key, Outcome.CORRECT))
            else:
                sums.wrong += tokens
                events.append(ev.Judged(key, Outcome.INCORRECT))

    # replicas come and go

    def _start(self, seat: int, now: float) -> None:
        self._held += 1
        self._at(now + self._scenario.speed.start_s, partial(self._join, seat))

    def _join(self, seat: int, now: float) -> None:
        number = self._successors[seat]
        name = f"replica-{seat}.{number}" if number else f"replica-{seat}"
        self._successors[seat] += 1
        replica = VirtualReplica(name, seat, self._scenario.speed, self._steps, now)
        self._seats[seat] = self._replicas[name] = replica
        self._meter.joined(name)
        self._events.append(ev.ReplicaReady(name, self._scenario.speed.slots))

    def _plan_losses(self) -> None:
        losses = self._scenario.losses
        if losses.per_hour:
            self._at(self._next_loss(0.0), self._loss)
        if losses.preempt_every_s:
            self._at(losses.preempt_every_s, self._preemption)

    def _next_loss(self, now: float) -> float:
        per_s = self._scenario.losses.per_hour * self._scenario.replicas / 3600
        return now + self._random.expovariate(per_s)

    def _loss(self, now: float) -> None:
        seat = self._random.randrange(self._scenario.replicas)
        if self._lose(seat, now):  # one that is only starting cannot be lost
            self._start(seat, now)
        self._at(self._next_loss(now), self._loss)

    def _preemption(self, now: float) -> None:
        losses, seats = self._scenario.losses, self._scenario.replicas
        for seat in sorted(self._random.sample(range(seats), round(seats * losses.preempt_share))):
            if self._lose(seat, now):
                self._at(now + losses.preempt_back_s, partial(self._start, seat))
        self._at(now + losses.preempt_every_s, self._preemption)

    def _lose(self, seat: int, now: float) -> bool:
        """A replica is gone; False if none was ready in this seat."""
        if (replica := self._seats[seat]) is None:
            return False
        self._seats[seat] = None
        del self._replicas[replica.name]
        self._held -= 1
        self._busy -= replica.running
        every = self._scenario.log_every
        for flight, written in replica.lose(now):
            kept = written - written % every
            flight.logged += kept
            flight.left -= kept
            flight.prompt += kept
            self.figures.tokens.regenerated += written - kept
            self.figures.interrupted += 1
        self.figures.losses += 1
        self._meter.left(replica.name)
        self._events.append(ev.ReplicaLost(replica.name))
        return True
