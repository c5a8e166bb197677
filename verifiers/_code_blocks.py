"""Finds the program in a completion: the last fenced block of the asked language.

Fences are read line by line as CommonMark has them: three or more backticks or tildes, indented or
not; the closing fence is at least as long and bears no text.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

MAX_CODE = 256 << 10
"""Longest program that is run, in bytes."""

TAGS = {
    "python": ("python", "py", "python3"),
    "cpp": ("cpp", "c++", "cc", "cxx"),
}
"""Languages, and what a fence may call them."""


class Block(NamedTuple):
    """One fenced block."""

    tag: str
    code: str
    closed: bool


def last(text: str, language: str) -> tuple[str | None, str]:
    """The program, or None and why there is none."""
    found = list(blocks(text))
    ours = [block for block in found if block.tag in TAGS[language]]
    if not ours:
        others = ", ".join(sorted({(b.tag or "without a language")[:20] for b in found})[:5])
        return None, f"no ```{language} block" + (f"; blocks: {others}" if others else "")
    code, closed = ours[-1].code, ours[-1].closed
    if not closed:
        return None, f"the ```{language} block is not closed"
    if not code.strip():
        return None, f"the ```{language} block is empty"
    try:
        size = len(code.encode())
    except UnicodeEncodeError:
        return None, "the program is not UTF-8"
    if size > MAX_CODE:
        return None, f"the program is longer than {MAX_CODE} bytes"
    return code, ""


def fenced(code: str, language: str) -> str:
    """A program as a block that `last` reads back."""
    fence = "```"
    while any(line.lstrip().startswith(fence) for line in code.split("\n")):
        fence += "`"
    return f"{fence}{language}\n{code.rstrip()}\n{fence}"


def blocks(text: str) -> Iterator[Block]:
    """Every fenced block in order; the last one may not be closed."""
    fence = tag = ""
    indent = 0
    inside: list[str] = []
    for line in text.replace("\r\n", "\n").split("\n"):
        bare = line.lstrip(" \t")
        if not fence:
            run = _run(bare)
            info = bare[len(run) :].strip()
            if run and "`" not in info:
                fence, tag, indent = run, _tag(info), len(line) - len(bare)
                inside = []
        elif _closes(bare, fence):
            yield Block(tag, "".join(inside), True)
            fence = ""
        else:
            inside.append(_outdent(line, indent) + "\n")
    if fence:
        yield Block(tag, "".join(inside), False)


def _run(line: str) -> str:
    """The fence that a line begins with; empty if there is none."""
    for mark in "`~":
        length = len(line) - len(line.lstrip(mark))
        if length >= 3:
            return mark * length
    return ""


def _closes(line: str, fence: str) -> bool:
    run = _run(line)
    return run.startswith(fence) and not line[len(run) :].strip()


def _tag(info: str) -> str:
    word = info.split(maxsplit=1)[0] if info else ""
    for end in ":{,":
        word = word.partition(end)[0]
    return word.lower()


def _outdent(line: str, indent: int) -> str:
    """A line without the indentation of its fence, as far as it has one."""
    removable = len(line) - len(line.lstrip(" \t"))
    return line[min(indent, removable) :]
