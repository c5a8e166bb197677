"""problems -> rollouts -> verdicts: the foreman driven by real events.

    feed ----problems----> driver ----actions----> crew (replicas, judges)
                             |  ^-----events-------'
                             v
                           ledger      every batch of events is durable before it is acted upon

The driver is one loop: take a batch of events, append what they say to the ledger, commit, let
the foreman decide, carry out its actions. Who waits for whom: the driver waits for news alone;
the commit of one batch is when the next one gathers, so a slow disk makes batches larger and
nothing else.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import defaultdict
from dataclasses import replace

from factory import events as ev
from factory import plugins
from factory.crew import Crew, CrewEvent, Happened, Joined, JudgedBatch, Left
from factory.engines import Request
from factory.errors import FactoryError
from factory.feed import Feed
from factory.foreman import Foreman
from factory.ledger import Ledger
from factory.recipe import Recipe
from factory.records import Closed, Partial, Record
from factory.replica import Broke, Drained, Ended, Progressed, ReplicaEvent
from factory.report.progress import Display
from factory.standing import OpenProblem, Standing
from factory.types import Problem, Reject, Rollout, RolloutKey, Verdict

_DRAIN_S = 20.0
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
        self._foreman = Foreman(policy)
        self._can_continue: dict[str, bool] = {}
        self._wanted = 0
        self._stopping = False

    def stop(self) -> None:
        """Finish in good order: log what is being written, and return; callable from a signal."""
        self._stopping = True
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
            if self._stopping:
                await self._drain()
            self._display.stopped()
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
        await asyncio.to_thread(self._ledger.commit)
        self._act(self._foreman.handle(*events))
        self._display.update(self._standing.counts, self._foreman)

    async def _drain(self) -> None:
        """Put on record what is being written, so that it can be continued."""
        writing = self._crew.drain()
        deadline = time.monotonic() + _DRAIN_S
        while writing and time.monotonic() < deadline:
            for item in await self._crew.events(_LOOK_S):
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
                self._display.joined(item.replica)
                return [ev.ReplicaReady(item.replica, item.info.slots)]
            case Left():
                self._display.note(f"{item.replica} is gone ({item.reason}); replacing it")
                return [ev.ReplicaLost(item.replica)]
            case Happened():
                return [e for event in item.events for e in self._record_one(event)]
            case JudgedBatch():
                return [self._record_verdict(verdict) for verdict in item.verdicts]

    def _record_one(self, event: ReplicaEvent) -> list[ev.Event]:
        match event:
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
                self._append(rollout)
                return [ev.Finished(rollout.key, rollout.completion.finish_reason == "abort")]
            case Broke(key, reason, fatal):
                return [ev.Failed(key, reason, fatal)]

    def _record_verdict(self, verdict: Verdict) -> ev.Event:
        self._append(verdict)
        return ev.Judged(verdict.key, verdict.outcome)

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
                case ev.Admit(count):
                    self._wanted += count
                    self._crew.wake()
        for replica, batch in requests.items():
            self._crew.generate(replica, batch)
        for replica, keys in aborts.items():
            self._crew.abort(replica, keys)
        self._crew.verify(pairs)

    def _close(self, action: ev.Close) -> None:
        rule, colon, _ = action.reason.partition(": ")
        if colon:
            problem = self._standing.open[action.problem_id].problem
            self._append(Reject.of(problem, rule.replace(" ", "_"), action.reason))
            self._display.note(f"problem {problem.id} {action.reason}")
        self._append(Closed(problem_id=action.problem_id, reason=action.reason))

    def _request(self, action: ev.Generate) -> Request:
        key = action.key
        open_: OpenProblem = self._standing.open[key.problem_id]
        request = Request(
            key=key,
            messages=self._recipe.prompt.render(open_.problem),
            sampling=self._recipe.sampling,
        )
        if not action.interrupted:
            return request
        if not self._can_continue[action.replica]:
            open_.prefixes.pop(key.index, None)
        prefix = tuple(open_.prefixes.get(key.index, ()))
        restarts = open_.restarts[key.index] = open_.restarts.get(key.index, 0) + bool(prefix)
        return replace(request, prefix=prefix, restarts=restarts)
