"""What verdicts on a problem go by, compared with what the source says now: eight bytes each."""

from __future__ import annotations

import json
from hashlib import blake2b

import numpy as np
import pyarrow as pa

from factory.ledger.ids import Ids, numbers
from factory.types import Problem


def reference(problem: Problem) -> int | None:
    """64 bits, signed, of a problem's id, answer, verifier and spec.

    None is what a ledger of an earlier version has in its place.
    """
    parts = [problem.id, problem.answer, problem.verifier, problem.spec]
    text = json.dumps(parts, sort_keys=True, default=str).encode()
    return int.from_bytes(blake2b(text, digest_size=8).digest(), "big", signed=True)


class References:
    """The references on record. One thread adds, any may ask."""

    def __init__(self) -> None:
        self._on_record = Ids()
        self._unsaid = Ids()

    def add(self, problem: Problem) -> None:
        if (found := reference(problem)) is None:
            self._unsaid.add(problem.id)
        else:
            self._on_record.add(f"{found & (1 << 64) - 1:016x}")

    def update(self, problems: pa.Table) -> None:
        """Adds rows of the small columns, all of them problems.

        Raises:
            ForeignId: a problem id is not 16 hexadecimal digits.
        """
        said = problems["tokens"].is_valid()
        found = problems["tokens"].filter(said).combine_chunks()
        self._on_record.update(np.asarray(found, np.int64).view(np.uint64))
        unsaid = problems["problem_id"].filter(said.to_numpy() == False)  # noqa: E712
        self._unsaid.update(numbers(unsaid.combine_chunks()))

    def differs(self, problem: Problem) -> bool:
        """Whether the problem, which is on record, is there with another reference."""
        if problem.id in self._unsaid or (found := reference(problem)) is None:
            return False
        return f"{found & (1 << 64) - 1:016x}" not in self._on_record
