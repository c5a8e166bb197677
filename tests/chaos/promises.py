"""What a run had promised by some moment: what was durable, and what was acted upon."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

from factory import crew
from factory.ledger.records import Partial, Record, frame, unframe
from factory.types import Problem, Rollout
from tests.chaos import check
from tests.chaos.disk import Disk, Op, Tree, write_tree
from tests.chaos.tap import Tap


@dataclass(slots=True)
class Known:
    """What had been promised by some moment of a recording."""

    durable: Counter[bytes] = field(default_factory=Counter)
    acted: set[bytes] = field(default_factory=set)
    prefixes: dict[Any, int] = field(default_factory=dict)
    """Tokens that a request was continued from."""
    tokens: int = 0
    _read: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, start: Tree, place: Path) -> Known:
        """What is on record in a folder already."""
        folder = place / f"start-{os.getpid()}"
        write_tree(start, folder)
        records = check.ledger(folder)
        known = cls(durable=check.bag(records), tokens=check.tokens(records))
        for path, data in start.items():
            if path.endswith(".log"):
                ends = [end for _, end in unframe(data or b"", (data or b"").find(b"\n") + 1)]
                known._read[path] = max(ends, default=0)
        shutil.rmtree(folder)
        return known

    def add(self, op: Op, disk: Disk) -> None:
        """The next entry; `disk` has taken it already."""
        match op.kind:
            case "fsync" if op.path.endswith(".log"):
                self._add_log(op.path, disk)
            case "tokens":
                self.tokens += op.offset
            case "acted" if isinstance(op.record, (Problem, Rollout)):
                self.acted.add(frame(op.record))
            case "acted":
                key, size = op.record
                self.prefixes[key] = max(size, self.prefixes.get(key, 0))

    def _add_log(self, path: str, disk: Disk) -> None:
        file = disk.file(path)
        data = b"" if file is None else file.durable
        start = self._read.get(path) or data.find(b"\n") + 1
        if start:
            for record, end in unframe(data, start):
                self._read[path] = end
                if not isinstance(record, Partial):
                    self.durable[frame(record)] += 1

    def missing(self, records: Sequence[Record]) -> int:
        """How many of the promises a ledger does not keep."""
        held = check.bag(records)
        gone = self.durable - held
        gone += Counter(dict.fromkeys((f for f in self.acted if f not in held), 1)) - gone
        logged: dict[Any, int] = {}
        for record in records:
            if isinstance(record, Partial):
                logged[record.key] = record.start + len(record.token_ids)
            elif isinstance(record, Rollout):
                logged[record.key] = record.completion.num_tokens
        cut = sum(logged.get(key, 0) < size for key, size in self.prefixes.items())
        return sum(gone.values()) + cut


def listening(tap: Tap) -> Any:
    """Patches that record what the driver does on the strength of its ledger."""
    generate, verify = crew.Crew.generate, crew.Crew.verify

    def generated(self: Any, replica: str, requests: Any) -> Any:
        for request in requests:
            tap.say("acted", (request.key, len(request.prefix)))
        return generate(self, replica, requests)

    def verified(self: Any, pairs: Any) -> Any:
        for problem, rollout in pairs:
            tap.say("acted", problem)
            tap.say("acted", rollout)
        return verify(self, pairs)

    return mock.patch.multiple(crew.Crew, generate=generated, verify=verified)
