"""A run is hurt, the same command is given again, and what came of it is held against the rules.

`record` runs a command once and keeps every call to the disk. From that, `crash_states` makes
what the folder may look like after a death or a power loss at any of them (`tests.chaos.disk`):
the program itself cannot tell such a state from the real event, and thousands of them cost no
second run. `with_fault` runs the command in a process of its own with a fault at one call: it
dies on the spot, or is told that the disk is full or broken and goes on as it thinks best.

A trial then gives the command again until it is done, and reports:

- lost: records that were durable, or acted upon, before the fault and are not on record after
  the crash; or on record after it and not at the end.
- repeated: records there once too often at the end.
- written again: tokens that were generated more than once.
- identical: every file of the dataset folder is that of the undisturbed run.
- wrong: whatever else contradicts itself, a run that is refused or never ends included.
"""

from __future__ import annotations

import itertools
import os
import pickle
import random
import shutil
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from factory import run
from factory.ledger.records import Record
from tests.chaos import check
from tests.chaos.disk import Disk, Op, Some, Tree, Worst, read_tree, write_tree
from tests.chaos.promises import Known, listening
from tests.chaos.tap import Fault, Tap
from tests.chaos.world import Clock, Later, World, in_one_thread

_numbers = itertools.count()
_COMMANDS = 3
"""The same command at most so often until it must be done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """One run of a command, call by call."""

    start: Tree
    ops: tuple[Op, ...]
    end: Tree
    error: str
    """How the command ended, if not well."""
    whole: bool
    """The model of the disk agrees with what really lay there."""

    @property
    def sites(self) -> int:
        """Calls to the disk."""
        return sum(op.on_disk for op in self.ops)


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What a crash has left."""

    kind: str
    position: int
    """How many entries of the recording came before it."""
    tree: Tree


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What came of one fault."""

    kind: str
    where: str
    lost: int
    repeated: int
    written_again: int
    tokens: int
    identical: bool
    wrong: tuple[str, ...]

    @property
    def passed(self) -> bool:
        return self.identical and not (self.lost or self.repeated or self.wrong)


@dataclass(slots=True, kw_only=True)
class Bench:
    """Where trials take place, with the undisturbed run that they are held against."""

    world: World
    place: Path
    """A folder of its own, best in memory."""
    expected: dict[str, str] = field(default_factory=dict)
    same: bool = True
    """Every dataset must be the expected one; if not, the one that its ledger gives again."""

    def reference(self, start: Tree | None = None) -> None:
        """Run undisturbed; its dataset is what every trial must come to."""
        folder = self.fresh(start)
        with in_one_thread(Clock(), Later()):
            self.world.run(folder)
        self.expected = check.digest(folder / "dataset")
        shutil.rmtree(folder)

    def records(self, tree: Tree) -> list[Record]:
        """The ledger in a tree."""
        folder = self.fresh(tree)
        records = check.ledger(folder)
        shutil.rmtree(folder)
        return records

    def fresh(self, tree: Tree | None = None) -> Path:
        folder = self.place / f"trial-{os.getpid()}-{next(_numbers)}"
        write_tree(tree or {}, folder)
        return folder

    def record(
        self,
        start: Tree | None = None,
        *,
        lag: int = 0,
        fault: Fault | None = None,
        swallow: Callable[[Op], bool] = lambda op: False,
        mutate: Callable[[], Any] | None = None,
    ) -> Recording:
        """Run the command in a process of its own, so that its lock is one of a dead process.

        Args:
            lag: see `Later`.
            fault: what happens to it.
            swallow, mutate: make the program another, faulty one.
        """
        folder = self.fresh(start)
        report = folder.with_suffix(".pickle")
        child = os.fork()
        if not child:
            try:
                self._recorded(folder, report, Later(lag=lag), fault, swallow, mutate)
            except BaseException:
                report.with_suffix(".failed").write_text(traceback.format_exc())
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        if not report.exists():
            raise AssertionError(report.with_suffix(".failed").read_text())
        ops, error = pickle.loads(report.read_bytes())
        report.unlink()
        disk = Disk(start)
        for op in ops:
            disk.apply(op)
        end = read_tree(folder)
        shutil.rmtree(folder)
        return Recording(
            start=start or {}, ops=tuple(ops), end=end, error=error, whole=disk.now() == end
        )

    def _recorded(
        self,
        folder: Path,
        report: Path,
        later: Later,
        fault: Fault | None,
        swallow: Callable[[Op], bool],
        mutate: Callable[[], Any] | None,
    ) -> None:
        def end(error: str) -> None:
            report.write_bytes(pickle.dumps((tap.ops, error)))
            os._exit(0)

        tap = Tap(folder, fault, swallow, lambda: end("died"), before_site=later.tick)
        if mutate is not None:
            mutate()
        count = lambda number: tap.say("tokens", number=number)  # noqa: E731
        error = ""
        with in_one_thread(Clock(), later, count), listening(tap), tap():
            try:
                self.world.run(folder)
            except Exception as problem:
                error = f"{type(problem).__name__}: {problem}"
        end(error)

    def resumed(self, state: State, known: Known, where: str) -> Trial:
        """Give the command again in a folder that a crash has left, until it is done."""
        folder = self.fresh(state.tree)
        before, refused = check.readable(folder)
        lost = 0 if refused else known.missing(before)
        wrong = [refused] if refused else []
        again: list[int] = []
        if not refused:
            wrong += self.go_on(folder, again.append)
        after, refused = check.readable(folder)
        wrong += [refused] if refused else check.wrong(after)
        lost += sum((check.bag(before) - check.bag(after)).values())
        identical = not wrong and self.identical(folder)
        shutil.rmtree(folder)
        total = check.tokens(after)
        return Trial(
            kind=state.kind,
            where=where,
            lost=lost,
            repeated=check.repeated(after),
            written_again=known.tokens + sum(again) - total,
            tokens=total,
            identical=identical,
            wrong=tuple(wrong),
        )

    def identical(self, folder: Path) -> bool:
        """Whether the dataset is what it must be."""
        if not (folder / "dataset").exists():
            return False
        found = check.digest(folder / "dataset")
        if self.same:
            return found == self.expected
        with in_one_thread(Clock(), Later()):
            run.make_dataset(folder)
        return check.digest(folder / "dataset") == found

    def go_on(self, folder: Path, count: Callable[[int], None]) -> list[str]:
        """Give the command until it is done; what is wrong with how it ends."""
        try:
            with in_one_thread(Clock(), Later(), count):
                for _ in range(_COMMANDS):
                    result = self.world.run(folder)
                    if getattr(result, "dataset", True) is not None:
                        return []
        except Exception as error:
            return [f"the command ends with {type(error).__name__}: {error}"]
        return [f"not done after {_COMMANDS} commands"]

    def trials(
        self,
        recording: Recording,
        kinds: Sequence[str],
        *,
        seed: int = 0,
        some: int = 1,
        every: int = 1,
    ) -> Iterator[Trial]:
        """Every different state that a crash of these kinds may leave, resumed.

        Args:
            every: one in so many of them.
        """
        seen: set[bytes] = set()
        known, done = Known.of(recording.start, self.place), 0
        disk = Disk(recording.start)
        for state in crash_states(recording, kinds, seed=seed, some=some):
            for op in recording.ops[done : state.position]:
                disk.apply(op)
                known.add(op, disk)
            done = state.position
            print_ = _print(state.tree, known)
            if print_ not in seen:
                seen.add(print_)
                if len(seen) % every:
                    continue
                yield self.resumed(state, known, _where(recording, state.position))

    def with_fault(
        self, fault: Fault, start: Tree | None = None, *, power: bool = False, **options: Any
    ) -> Trial:
        """The command with a fault at one call, and then without.

        Args:
            power: the machine goes down when the command has ended.
        """
        met = self.record(start, fault=fault, **options)
        known, disk = Known.of(start or {}, self.place), Disk(start)
        for op in met.ops:
            disk.apply(op)
            known.add(op, disk)
        tree = disk.after_power_loss(Worst(False, False)) if power else met.end
        state = State(kind=_kind(fault, power), position=len(met.ops), tree=tree)
        trial = self.resumed(state, known, f"call {fault.site}")
        if not met.whole:
            trial = replace(trial, wrong=(*trial.wrong, "the model of the disk is wrong"))
        return trial


def crash_states(
    recording: Recording, kinds: Sequence[str], *, seed: int = 0, some: int = 1
) -> Iterator[State]:
    """What crashes at every call may leave, in order of the calls.

    Args:
        kinds: death, torn, `power: nothing`, `power: names`, `power: content`, `power: some`,
            `power: holes` (the same, and sectors are lost in front of others of their file).
        some: how many by chance of each kind that has a choice.
    """
    rng = random.Random(seed)
    disk = Disk(recording.start)
    for position, op in enumerate((*recording.ops, None)):
        if op is None or op.kind in ("acted", "tokens"):
            if op is not None:
                continue
            after: Sequence[Op] = ()
        else:
            after = (op,)
        for kind in kinds:
            for tree in _left(disk, kind, after, rng, some):
                yield State(kind=kind, position=position, tree=tree)
        for one in after:
            disk.apply(one)


def _left(
    disk: Disk, kind: str, following: Sequence[Op], rng: random.Random, some: int
) -> Iterator[Tree]:
    match kind:
        case "death":
            yield disk.now()
        case "torn":
            for op in following:
                if op.kind == "write" and len(op.data) > 1:
                    sizes = {1, len(op.data) - 1, *rng.choices(range(1, len(op.data)), k=some)}
                    for size in sorted(sizes):
                        yield _torn(disk, op, size)
        case "power: nothing":
            yield disk.after_power_loss(Worst(False, False))
        case "power: names":
            yield disk.after_power_loss(Worst(True, False))
        case "power: content":
            yield disk.after_power_loss(Worst(False, True))
        case "power: some" | "power: holes":
            for _ in range(some):
                chance = Some(rng, rng.random(), rng.random(), holes=kind == "power: holes")
                yield disk.after_power_loss(chance)


def _torn(disk: Disk, op: Op, size: int) -> Tree:
    tree = disk.now()
    data = bytearray(tree[op.path] or b"")
    data[op.offset : op.offset + size] = op.data[:size]
    return {**tree, op.path: bytes(data)}


def _print(tree: Tree, known: Known) -> bytes:
    """Equal for equal states of which the same was promised."""
    promised = (sum(known.durable.values()), len(known.acted), sum(known.prefixes.values()))
    return sha256(repr((sorted(tree.items()), promised)).encode()).digest()


def _where(recording: Recording, position: int) -> str:
    following = [op for op in recording.ops[position:] if op.on_disk]
    return f"before {following[0].kind} {following[0].path}" if following else "at the end"


def _kind(fault: Fault, power: bool) -> str:
    stays = ", for good" if fault.stays else ""
    return f"{fault.kind}{stays}{', then power' if power else ''}"
