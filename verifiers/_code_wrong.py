"""Programs that are wrong for certain, made from one that is right: to try the tests with.

Not by mutating the source, since a mutant may well be right. The answers of the right program are
changed instead, in ways of which the comparison says here that at least one test must notice; or
the program does what cannot pass: prints one answer for all, exits, raises, returns an object.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

from verifiers._code_compare import output_accepts, value_accepts
from verifiers._code_compile import quoted
from verifiers._code_table import literal
from verifiers._code_task import Case, Task

Change = tuple[str, Callable[[Any], Any]]
"""An expression for the changed answer, over `answer`, and the same as a function."""

LONGEST = 2000
"""Longest expected output that is looked at, or written into a program."""
_LOOKED_AT = 20
_CONSTANTS = 4
_INTEGER = re.compile(r"-?\d+")


def _bump(text: str, by: int, last: bool) -> str:
    """The first or last integer of a text, changed."""
    found = list(_INTEGER.finditer(text))
    match = found[-1 if last else 0]
    return f"{text[: match.start()]}{int(match[0][:300]) + by}{text[match.end() :]}"


_BUMP_SOURCE = """\
import re
def _bump(text, by, last):
    found = list(re.finditer(r"-?\\d+", text))
    match = found[-1 if last else 0]
    return f"{text[: match.start()]}{int(match[0][:300]) + by}{text[match.end() :]}"
"""

SPELT_CHANGES: tuple[Change, ...] = (
    ("_bump(answer, 1, True)", lambda answer: _bump(answer, 1, True)),
    ("_bump(answer, -1, False)", lambda answer: _bump(answer, -1, False)),
    ("answer.rstrip()[:-1]", lambda answer: answer.rstrip()[:-1]),
    ("answer.replace('1', '7')", lambda answer: answer.replace("1", "7")),
    ("answer.swapcase()", lambda answer: answer.swapcase()),
)
"""For outputs without decimals: a decimal may be spelt otherwise than the expected one."""
TOKEN_CHANGES: tuple[Change, ...] = (
    ("answer + ' 0'", lambda answer: answer + " 0"),
    ("answer.rsplit(None, 1)[0]", lambda answer: answer.rsplit(None, 1)[0]),
    ("answer + '\\n' + answer.split()[-1]", lambda answer: answer + "\n" + answer.split()[-1]),
    ("answer + answer", lambda answer: answer + answer),
    ("'0 ' + answer", lambda answer: "0 " + answer),
    ("' '.join(answer.split()[::-1])", lambda answer: " ".join(answer.split()[::-1])),
    ("''.join(answer.split())", lambda answer: "".join(answer.split())),
    ("answer.rstrip() + '~'", lambda answer: answer.rstrip() + "~"),
    ("'~' + answer", lambda answer: "~" + answer),
    ("'Answer: ' + answer", lambda answer: "Answer: " + answer),
)
"""For any output: how its words are laid out does not matter."""
VALUE_CHANGES: tuple[Change, ...] = (
    ("answer + 1", lambda answer: answer + 1),
    ("answer[:-1]", lambda answer: answer[:-1]),
    ("not answer", lambda answer: not answer),
    ("[answer]", lambda answer: [answer]),
    ("-answer", lambda answer: -answer),
    ("answer - 1", lambda answer: answer - 1),
    ("answer * 2", lambda answer: answer * 2),
    ("answer[::-1]", lambda answer: answer[::-1]),
    ("answer + answer[-1:]", lambda answer: answer + answer[-1:]),
    ("str(answer)", str),
    ("repr(answer)", repr),
    ("answer + ' '", lambda answer: answer + " "),
    ("(answer, answer)", lambda answer: (answer, answer)),
    ("[answer, None]", lambda answer: [answer, None]),
    ("{'answer': answer}", lambda answer: {"answer": answer}),
    ("[[answer]]", lambda answer: [[answer]]),
    ("3 * answer + 1", lambda answer: 3 * answer + 1),
    ("None", lambda answer: None),
    ("True", lambda answer: True),
    ("0", lambda answer: 0),
    ("''", lambda answer: ""),
    ("[]", lambda answer: []),
)
_QUIET_ENDS = (
    "pass",
    "import sys\nsys.exit(0)",
    "raise SystemExit(0)",
    "import os\nos._exit(0)",
    "quit()",
    "import sys\nprint('ALL TESTS PASSED', file=sys.stderr)",
    "raise AssertionError",
    "import unittest\nraise unittest.SkipTest('later')",
    "import os\nos.kill(os.getpid(), 9)",
    "def main(:",
)
_GARBAGE = (
    "~",
    "ALL TESTS PASSED",
    "===== 10 passed in 0.01s =====",
    "OK",
    "ok accepted",
    "nan",
    "None",
    "0x0",
    "I do not know",
    "{}",
    "...",
    "1e400",
    "?!",
    "<<>>",
)
_RETURNED = (
    "type('Equal', (), {'__eq__': lambda a, b: True, '__ne__': lambda a, b: False})()",
    "type('Int', (int,), {'__eq__': lambda a, b: True, '__hash__': int.__hash__})(7)",
    "type('Text', (str,), {'__eq__': lambda a, b: True, '__hash__': str.__hash__})('x')",
    "lambda *a: 0",
    "(n for n in (1, 2, 3))",
    "object()",
    "float('nan')",
    "NotImplemented",
    "__import__('sys').exit(0)",
    "__import__('os')._exit(0)",
    "1 / 0",
    "print('passed')",
)


def programs(task: Task, right: str) -> Iterator[str]:
    """Wrong programs in the task's language, near misses first.

    Args:
        right: a program that passes.
    """
    if task.language == "cpp":
        yield from _cpp(task, right)
    elif task.calls:
        yield from _calls(task, right)
    else:
        yield from _prints(task, right)


def _noticed(task: Task, change: Callable[[Any], Any], *, raising: bool) -> bool:
    """Whether some test rejects every answer that counts, once changed.

    Args:
        raising: whether the changes looked for are those that raise on an answer, which is no
            near miss any more.
    """
    raises = noticed = False
    for case in _sample(task):
        accepted = False
        for answer in _answers(case):
            try:
                accepted = accepted or _accepted(case, change(answer))
            except (TypeError, LookupError, ValueError, OverflowError):
                raises = True
        noticed = noticed or not accepted
    return noticed and raises == raising


def _sample(task: Task) -> list[Case]:
    """Some tests to look at: what one of them notices, all of them do."""
    short = (
        case
        for case in task.cases
        if all(not isinstance(item, bytes) or len(item) <= LONGEST for item in case.wanted)
    )
    return list(islice(short, _LOOKED_AT))


def _answers(case: Case) -> list[Any]:
    if case.call:
        return list(case.wanted)
    return [item.decode() for item in case.wanted]


def _accepted(case: Case, answer: Any) -> bool:
    if case.call:
        return any(value_accepts(answer, wanted, case.compare) for wanted in case.wanted)
    return any(output_accepts(answer.encode(), w, case.compare) for w in case.wanted)


def _noticed_first(task: Task, changes: tuple[Change, ...]) -> Iterator[str]:
    """Expressions of the changes that a test notices; those that work on every answer first."""
    for raising in (False, True):
        for expression, change in changes:
            if _noticed(task, change, raising=raising):
                yield expression


def constants(task: Task) -> list[Any]:
    """Expected answers that, given for every test, fail one of them."""
    if task.checker is not None:
        return []
    found: list[Any] = []
    for answer in (answer for case in task.cases for answer in _answers(case)):
        fits = len(repr(answer)) <= LONGEST and answer not in found
        if fits and not all(_accepted(case, answer) for case in task.cases):
            found.append(answer)
        if len(found) == _CONSTANTS:
            break
    return found


def _prints(task: Task, right: str) -> Iterator[str]:
    if task.checker is None:
        for expression in _noticed_first(task, _text_changes(task)):
            yield _changed_output(task, right, expression)
    for answer in constants(task):
        yield _printing(task, answer)
    for text in _GARBAGE:
        if task.checker is not None or not all(_accepted(case, text) for case in task.cases):
            yield _printing(task, text)
    yield from _QUIET_ENDS
    yield _changed_output(task, right, "answer") + "sys.exit(1)\n"


def _text_changes(task: Task) -> tuple[Change, ...]:
    if any(b"." in answer for case in task.cases for answer in case.wanted):
        return TOKEN_CHANGES
    if any(case.compare.how == "float" for case in task.cases):
        return TOKEN_CHANGES
    return SPELT_CHANGES[:1] + TOKEN_CHANGES[:2] + SPELT_CHANGES[1:] + TOKEN_CHANGES[2:]


def _printing(task: Task, text: str) -> str:
    if task.output_file:
        return f"open({task.output_file!r}, 'w').write({text!r})\n"
    return f"print({text!r})\n"


def _changed_output(task: Task, right: str, expression: str) -> str:
    """The right program with its output changed; one that prints in another way fails."""
    runs = f"exec(compile({right!r}, 'main.py', 'exec'), {{'__name__': '__main__'}})"
    if task.output_file:
        read = f"answer = open({task.output_file!r}).read()\n"
        write = f"open({task.output_file!r}, 'w').write({expression})\n"
    else:
        read = "sys.stdout.flush()\nanswer = sys.stdout.buffer.getvalue().decode()\n"
        write = f"sys.stdout = sys.__stdout__\nsys.stdout.write({expression})\n"
    return (
        f"import io, sys\n{_BUMP_SOURCE}"
        "sys.stdout = io.TextIOWrapper(io.BytesIO(), encoding='utf-8')\n"
        f"try:\n    {runs}\nexcept SystemExit:\n    pass\n"
        f"{read}if not answer.strip():\n    sys.exit(1)\n{write}"
    )


def _calls(task: Task, right: str) -> Iterator[str]:
    names = sorted({case.call for case in task.cases})
    for expression in _noticed_first(task, VALUE_CHANGES):
        yield _returning(right, names, expression)
    for answer in constants(task):
        yield _returning(right, names, literal(answer))
    for expression in _RETURNED:
        yield _returning(right, names, expression)
    yield from ("pass", "raise SystemExit(0)", "def main(:", "import os\nos._exit(0)")


def _returning(right: str, names: list[str], expression: str) -> str:
    """The right functions, each with its answer changed where it is handed back.

    The right program keeps its own names, so that its recursion is not changed with it.
    """
    source = "_right = {'__name__': 'solution'}\n"
    source += f"exec(compile({right!r}, 'right.py', 'exec'), _right)\n"
    classes: set[str] = set()
    for name in names:
        first, _, method = name.partition(".")
        if method:
            again = f"({first})" if first in classes else ""
            source += (
                f"class {first}{again}:\n    def {method}(self, *args, **kwargs):\n"
                f"        answer = _right[{first!r}]().{method}(*args, **kwargs)\n"
                f"        return {expression}\n"
            )
            classes.add(first)
        else:
            source += (
                f"def {name}(*args, **kwargs):\n"
                f"    right = _right.get({name!r}) or getattr(_right['Solution'](), {name!r})\n"
                f"    answer = right(*args, **kwargs)\n    return {expression}\n"
            )
    return source


def _cpp(task: Task, right: str) -> Iterator[str]:
    """Something is printed ahead of `main`, or one answer for every test."""
    for answer in constants(task)[:2]:
        yield _cpp_printing(task, answer)
    yield "int main() { return 0; }\n"
    plain = task.checker is None and not task.output_file
    for text in ("0 ", "~", "-1\n", "YES\n") if plain else ():
        ahead = f"static int ahead_ = std::printf({quoted(text.encode())});"
        yield f"#include <cstdio>\n{ahead}\n{right}"
    for answer in constants(task)[2:]:
        yield _cpp_printing(task, answer)
    for text in _GARBAGE:
        if task.checker is not None or not all(_accepted(case, text) for case in task.cases):
            yield _cpp_printing(task, text)
    yield "#include <cstdlib>\nint main() { std::abort(); }\n"
    yield "int main() { return 1; }\n"
    yield "int main() { volatile int *p = nullptr; *p = 1; }\n"
    yield "int main( {\n"
    yield "#error not today\n"
    yield "int mian() { return 0; }\n"


def _cpp_printing(task: Task, text: str) -> str:
    to = f'std::fopen("{task.output_file}", "w")' if task.output_file else "stdout"
    return f"#include <cstdio>\nint main() {{ std::fputs({quoted(text.encode())}, {to}); }}\n"
