"""Special judges: a program of the problem's, in a box of its own, reads what the candidate wrote.

    score     CHECKER input expected output     accepted: exit code 0 and `1` as all it prints;
                                                rejected: exit code 0 and a number in [0, 1)
    testlib   CHECKER input output expected     accepted: exit code 0 and `ok` as the first word on
                                                its standard error; rejected: exit code 1 or 2 (as
                                                an exception of Python's has it), or 7 (points)

Exit code 0 alone accepts nothing, since an output may have brought the checker to a quiet end. Any
other ending says nothing about the candidate: the test is then unclear, and never passed.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Literal

from factory.sandbox.box import Box, Command, Job, Limits, Ran, Script
from verifiers import _code_compile
from verifiers._code_task import Checker

LIMITS = Limits(cpu_s=10, wall_s=21, memory_mb=1024, file_mb=64, scratch_mb=160)
_NUMBER = re.compile(rb"[0-9]+(?:\.[0-9]+)?")
_RUN = """\
import runpy, sys
sys.argv = {argv!r}
runpy.run_path("checker.py", run_name="__main__")
"""
_ORDER = {
    "score": ("input.txt", "expected.txt", "output.txt"),
    "testlib": ("input.txt", "output.txt", "expected.txt"),
}


class Unusable(Exception):
    """The checker itself cannot be run: the problem is broken."""


class Judge:
    """A checker, ready in its box.

    Raises:
        Unusable: it does not compile.
    """

    def __init__(self, checker: Checker, box: Box, wall_s: float) -> None:
        self._checker = checker
        self._box = box
        if checker.language == "cpp":
            ran = _code_compile.run(box, checker.source, "checker", checker.files, wall_s)
            if not ran.ok:
                raise Unusable(f"the checker {_code_compile.failure(ran)}")

    def accepts(
        self, stdin: bytes, output: bytes, expected: bytes, wall_s: float
    ) -> tuple[Literal["accepted", "rejected", "unclear"], str]:
        """The checker's word on one output, and why it is unclear where it is."""
        files = {"input.txt": stdin, "output.txt": output, "expected.txt": expected}
        limits = replace(LIMITS, wall_s=min(LIMITS.wall_s, wall_s))
        ran = self._box.run(self._job(files), limits=limits)
        if ran.ended != "exited":
            return "unclear", f"the checker ended past a limit or by a signal ({ran.ended})"
        return _verdict(ran, self._checker.protocol)

    def _job(self, files: dict[str, bytes]) -> Job:
        order = _ORDER[self._checker.protocol]
        if self._checker.language == "cpp":
            return Command(argv=("/box/checker", *order), files=files)
        beside = {**self._checker.files, "checker.py": self._checker.source.encode()}
        return Script(source=_RUN.format(argv=["checker.py", *order]), files={**beside, **files})


def _verdict(ran: Ran, protocol: str) -> tuple[Literal["accepted", "rejected", "unclear"], str]:
    if protocol == "testlib":
        if ran.code in (1, 2, 7):
            return "rejected", ""
        if ran.code == 0 and ran.stderr.split()[:1] == [b"ok"]:
            return "accepted", ""
        return "unclear", f"the checker ended with code {ran.code} and no verdict"
    words = ran.stdout.split()
    if ran.code or len(words) != 1 or len(words[0]) > 40 or not _NUMBER.fullmatch(words[0]):
        return "unclear", f"the checker ended with code {ran.code} and printed no score"
    score = float(words[0])
    if score > 1:
        return "unclear", "the checker printed a score above 1"
    return ("accepted", "") if score == 1 else ("rejected", "")
