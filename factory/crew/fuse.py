"""Whether a verifier still tells anything at all: generating for one that does not is in vain.

A verifier with a bug, or one whose checker is away, fails on every rollout: each problem would be
sampled until it is set aside, to the last one. So a long row of failures over several problems,
with not one verdict between them that told something, ends the run. Each verifier is counted by
itself, so one that works hides no other.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from factory.errors import JudgingError
from factory.types import Outcome, Verdict

FAILURES = 64
PROBLEMS = 8
_FAILED = (Outcome.ERROR, Outcome.TIMEOUT)


class Fuse:
    """The verdicts of one command, as judges give them.

    Attributes:
        blown: nothing more is to be judged.
    """

    def __init__(self) -> None:
        self.blown = False
        self._rows: defaultdict[str, list[str]] = defaultdict(list)

    def blows(self, verdicts: Iterable[Verdict]) -> JudgingError | None:
        """What ends the run, the first time that anything does."""
        for verdict in verdicts:
            row = self._rows[verdict.verifier]
            if verdict.outcome not in _FAILED:
                row.clear()
                continue
            row.append(verdict.problem_id)
            if not self.blown and len(row) >= FAILURES and len(set(row)) >= PROBLEMS:
                self.blown = True
                return JudgingError(
                    f"verifier {verdict.verifier} could judge none of the last {len(row)} "
                    f"rollouts, of {len(set(row))} problems; the last one: {verdict.outcome}: "
                    f"{verdict.detail}. Every rollout is on record: mend the verifier or its "
                    "limits (`judging`), and run the same command again; --retry-set-aside, or "
                    "`factory verify` at the end, judges those again"
                )
        return None
