"""problems -> rollouts -> verdicts: the foreman driven by real events.

    feed ----problems----> driver ----actions----> crew (replicas, judges)
                             |  ^-----events-------'
                             v
                           ledger      every batch of events is durable before it is acted upon

The driver is one loop: take a batch of events, append what they say to the ledger, commit, let
the foreman decide, carry out its actions.

Who waits for whom, and where what waits is bounded:

    source --> feed          reads 1,024 problems ahead, then waits to be asked
    feed   --> foreman       admits no problem while `max_open` are open
    foreman -> replica       hands out no new rollout while `max_unjudged` wait for a judge,
                             nor more than a replica's slots
    replica -> driver        one poll at a time; what happens meanwhile is the next batch
    driver --> ledger        a batch is durable before it is acted upon; the next one gathers
                             meanwhile, so a slow disk makes batches larger and nothing else
    judge  --> driver        takes from the backlog whenever it is free

Nobody at work is a pause, not an end: everything above stands still, the display says who is
missed and what he waits for, and it goes on as soon as one is back.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import dataclasses
import time
from collections import Counter, defaultdict
from dataclasses import replace

from factory import plugins
from factory.crew import Crew, CrewEvent, Happened, Joined, JudgedBatch, Left, Waiting
from factory.crew.meter import Meter
from factory.crew.muster import Muster
from factory.crew.replica import Broke, Drained, Ended, Progressed, ReplicaEvent
from factory.engines import Request
from factory.errors import FactoryError, LedgerError
from factory.feed import Feed
from factory.ledger import Ledger
from factory.ledger.records import Audit, Closed, Partial, Record
from factory.ledger.standing import Standing
from factory.ledger.unfinished import OpenProblem
from factory.policies import budgets
from factory.recipe import Recipe
from factory.report.progress import Display
from factory.scheduling import events as ev
from factory.scheduling.doomed import Detector
from factory.scheduling.foreman import Foreman
from factory.types import Outcome, Problem, Reject, Rollout, RolloutKey, Verdict

_LOOK_S = 1.0


class Driver:
    """Runs one recipe against one ledger until nothing is left, or until it is told to stop.

    Args:
        standing: as read from the ledger; kept up to date.
        feed: problems to come, those in `standing` left out.
        crew: everyone who works on it, not yet started.
    """

    def __init__(
        self,
        recipe: Recipe,
        ledger: Ledger,
        standing: Standing,
        feed: Feed,
        crew: Crew,
        display: Display,
    ) -> None:
        self._recipe = recipe
        self._ledger = ledger
        self._standing = standing
        self._feed = feed
        self._crew = crew
        self._display = display
        policy = plugins.build("policy", recipe.policy.name, recipe.policy.options)
        engine = plugins.build("engine", recipe.engine.name, recipe.engine.options)
        self._meter = Meter(engine.resources().gpus, on="gpu_hours" in budgets(policy))
        policy = recipe.branching.gate(policy)
        self._foreman = Foreman(policy, pool=copy.deepcopy(standing.pool))
        self._armed = self._arm()
        self._can_continue: dict[str, bool] = {}
        self._muster = Muster()
        self._failures: defaultdict[str, Counter[int]] = defaultdict(Counter)
        self._restarted: defaultdict[str, Counter[int]] = defaultdict(Counter)
        self._unjudged = 0
        self._wanted = 0
        self._stopping = False

    def stop(self) -> None:
        """Finish in good order: log what is being written, and return; callable from a signal."""
        self._stopping = True
        if not self._can_continue:
            self._display.note("no replica is ready, so nothing is being written: starting ends")
        self._crew.wake()

    @property
    def complete(self) -> bool:
        """Whether nothing is left to do."""
        return self._foreman.done

    async def run(self) -> None:
        """Until complete or stopped.

        Raises:
            FactoryError: the run cannot go on; the ledger holds everything up to here.
        """
        self._feed.wake = self._crew.wake
        try:
            admitted = [ev.Admitted(p, o.history()) for p, o in self._standing.open.items()]
            self._act(self._foreman.handle(*admitted))
            await self._crew.start()
            while not self._foreman.done and not self._stopping:
                await self._step(await self._crew.events(_LOOK_S))
            self._display.stopped()
            if self._stopping:
                await self._drain()
            self._work(last=True)
        except LedgerError:
            raise  # nothing can be put on record any more
        except FactoryError:
            with contextlib.suppress(FactoryError):  # the first error is the one to tell
                await self._drain()
            raise
        finally:
            self._feed.wake = lambda: None
            await self._crew.close()
            self._ledger.commit()

    async def _step(self, crew_events: list[CrewEvent]) -> None:
        events: list[ev.Event] = []
        for item in crew_events:
            events += self._record(item)
        events += self._admit()
        events += self._work()
        await asyncio.to_thread(self._ledger.commit)
        self._act(self._foreman.handle(*events))
        for line in self._muster.news(self._unjudged):
            self._display.note(line)
        self._display.update(self._standing.counts, self._foreman, self._muster.pause)

    async def _drain(self) -> None:
        """Put on record what is being written, so that it can be continued."""
        writing = self._crew.drain()
        deadline = time.monotonic() + self._recipe.cluster.grace_s
        while writing and (left := deadline - time.monotonic()) > 0:
            for item in await self._crew.events(min(left, _LOOK_S)):
                self._record(item)
                if isinstance(item, Left) or (
                    isinstance(item, Happened) and Drained() in item.events
                ):
                    writing.discard(item.replica)
            self._ledger.commit()

    # what happened goes on record

    def _append(self, record: Record) -> None:
        self._ledger.append(record)
        self._standing.add(record)

    def _record(self, item: CrewEvent) -> list[ev.Event]:
        match item:
            case Joined():
                self._can_continue[item.replica] = item.info.can_continue
                self._muster.joined(item.replica)
                self._meter.joined(item.replica)
                self._display.joined(item.replica)
                return [ev.ReplicaReady(item.replica, item.info.slots)]
            case Left():
                self._can_continue.pop(item.replica, None)
                self._meter.left(item.replica)
                self._display.note(f"{item.replica} is gone ({item.reason}); replacing it")
                if self._muster.left(item.replica, item.reason):
                    self._display.idle()
                return [ev.ReplicaLost(item.replica, item.reason)]
            case Waiting():
                self._muster.waiting(item.post, item.why)
                return []
            case Happened():
                return [e for event in item.events for e in self._record_one(event)]
            case JudgedBatch():
                return [self._record_verdict(v) for v in item.verdicts if self._is_unjudged(v.key)]

    def _work(self, *, last: bool = False) -> list[ev.Event]:
        """Puts on record for how long replicas were alive, from time to time."""
        if (piece := self._meter.piece(last=last)) is None:
            return []
        self._append(piece)
        return [ev.Worked(piece.gpu_ms / 1000)]

    def _record_one(self, event: ReplicaEvent) -> list[ev.Event]:
        match event:
            case Progressed(key, start, _) if not self._is_news(key, start):
                return []
            case Progressed(key, start, tokens):
                self._append(
                    Partial(
                        problem_id=key.problem_id, index=key.index, start=start, token_ids=tokens
                    )
                )
                return []
            case Drained():
                return []
            case Ended(rollout):
                return [self._record_rollout(rollout)] if self._is_news(rollout.key) else []
            case Broke(key, reason, fatal):
                self._failures[key.problem_id][key.index] += 1
                return [ev.Failed(key, reason, fatal)]

    def _is_news(self, key: RolloutKey, start: int | None = None) -> bool:
        """Whether this is not on record yet: a message that comes twice is recorded once."""
        open_ = self._standing.open.get(key.problem_id)
        if open_ is None or key.index in open_.ended:
            return False
        return start is None or start >= len(open_.prefixes.get(key.index, ()))

    def _is_unjudged(self, key: RolloutKey) -> bool:
        open_ = self._standing.open.get(key.problem_id)
        return open_ is not None and key.index in open_.unjudged

    def _record_rollout(self, rollout: Rollout) -> ev.Event:
        aborted = rollout.completion.finish_reason == "abort"
        if aborted and rollout.doomed:
            self._audit(rollout, None)
        self._append(rollout)
        return ev.Finished(
            rollout.key,
            aborted,
            doomed=aborted and bool(rollout.doomed),
            num_tokens=rollout.completion.num_tokens,
            forked=rollout.forked,
        )

    def _audit(self, rollout: Rollout, outcome: Outcome | None) -> None:
        """What became of a rollout that a detector found doomed."""
        self._append(
            Audit(
                problem_id=rollout.problem_id,
                index=rollout.index,
                detector=rollout.doomed,
                outcome=outcome,
                at=rollout.doomed_at,
                rest=rollout.length - rollout.doomed_at if outcome else 0,
            )
        )
        before, self._armed = self._armed, self._arm()
        for name in sorted({*before} ^ {*self._armed}):
            state = "on again" if name in self._armed else "switched off: it cuts what is correct"
            self._display.note(f"detector {name} is {state} ({self._standing.counts.false_aborts})")

    def _arm(self) -> tuple[Detector, ...]:
        counts = self._standing.counts
        return self._recipe.aborts.armed(counts.audited, counts.audited_correct)

    def _record_verdict(self, verdict: Verdict) -> ev.Event:
        open_ = self._standing.open.get(verdict.problem_id)
        rollout = open_.unjudged.get(verdict.index) if open_ else None
        if open_ is not None and verdict.index in open_.doubted:
            verdict = replace(verdict, replaces=open_.doubted[verdict.index])
        correct = verdict.outcome is Outcome.CORRECT
        repeat = bool(correct and open_ and rollout and open_.is_repeat(rollout))
        if rollout is not None and rollout.doomed:
            self._audit(rollout, verdict.outcome)
        self._append(verdict)
        self._unjudged -= 1
        forked = rollout is not None and rollout.forked
        why = "" if verdict.outcome.judged else f"{verdict.verifier}: {verdict.detail}"
        return ev.Judged(verdict.key, verdict.outcome, repeat, forked, why)

    def _admit(self) -> list[ev.Event]:
        events: list[ev.Event] = []
        if self._wanted:
            for item in self._feed.take(self._wanted):
                if isinstance(item, Problem):
                    self._wanted -= 1
                    self._append(item)
                    events.append(ev.Admitted(item.id))
                elif not self._standing.has_reject(item):
                    self._append(item)
        if self._feed.ended and not self._foreman.source_ended:
            events.append(ev.SourceEnded())
            if self._feed.error is not None:
                self._display.note(
                    f"the source failed ({self._feed.error}); finishing what came before"
                )
        return events

    # what the foreman decides is carried out

    def _act(self, actions: list[ev.Action]) -> None:
        requests: dict[str, list[Request]] = defaultdict(list)
        aborts: dict[str, list[RolloutKey]] = defaultdict(list)
        pairs: list[tuple[Problem, Rollout]] = []
        for action in actions:
            match action:
                case ev.Generate():
                    requests[action.replica].append(self._request(action))
                case ev.Abort():
                    aborts[action.replica].append(action.key)
                case ev.Verify(key):
                    open_ = self._standing.open[key.problem_id]
                    pairs.append((open_.problem, open_.unjudged[key.index]))
                case ev.Close():
                    self._close(action)
                case ev.Note(census):
                    self._append(census)
                case ev.Admit(count):
                    self._wanted += count
                    self._crew.wake()
        for replica, batch in requests.items():
            self._crew.generate(replica, batch)
        for replica, keys in aborts.items():
            self._crew.abort(replica, keys)
        self._unjudged += len(pairs)
        self._crew.verify(pairs)

    def _close(self, action: ev.Close) -> None:
        rule, colon, _ = action.reason.partition(": ")
        if colon:
            problem = self._standing.open[action.problem_id].problem
            self._append(Reject.of(problem, rule.replace(" ", "_"), action.reason))
            self._display.note(f"problem {problem.id} {action.reason}")
        told = dataclasses.asdict(action.sums)
        self._append(Closed(problem_id=action.problem_id, reason=action.reason, **told))
        self._failures.pop(action.problem_id, None)
        self._restarted.pop(action.problem_id, None)

    def _request(self, action: ev.Generate) -> Request:
        key = action.key
        open_: OpenProblem = self._standing.open[key.problem_id]
        request = Request(
            key=key,
            messages=self._recipe.prompt.render(open_.problem),
            sampling=self._recipe.sampling,
            watch=self._recipe.aborts.watch(self._armed, key, self._recipe.sampling.seed),
        )
        if action.interrupted:
            request = self._interrupted(request, action.replica)
        branching = self._recipe.branching
        if branching.lends(key.index):
            return replace(request, branching=branching)
        return self._forked(request) if branching.forks(key.index) else request

    def _forked(self, request: Request) -> Request:
        """The request as a fork, where there is something to part from."""
        pid, index = request.key
        found = self._recipe.branching.pick(index, self._standing.open[pid].lenders)
        if found is None:
            return request
        branch, shared = found
        if not request.prefix:  # what it takes over is on record as what it has written so far
            shared_part = Partial(problem_id=pid, index=index, start=0, token_ids=tuple(shared))
            self._append(shared_part)
        return replace(request, prefix=request.prefix or tuple(shared), branch=branch)

    def _interrupted(self, request: Request, replica: str) -> Request:
        """The request again: as prompt and logged tokens, where the engine can go on from them."""
        pid, index = request.key
        open_ = self._standing.open[pid]
        if not self._can_continue[replica]:
            open_.prefixes.pop(index, None)
            self._restarted[pid][index] += 1
        prefix = tuple(open_.prefixes.get(index, ()))
        restarts = open_.restarts[index] = open_.restarts.get(index, 0) + bool(prefix)
        if prefix:
            self._display.regenerated += self._recipe.cluster.cadence // 2
        return replace(
            request,
            prefix=prefix,
            restarts=restarts,
            started_over=self._restarted[pid][index] if pid in self._restarted else 0,
            attempts=self._failures[pid][index] if pid in self._failures else 0,
        )
