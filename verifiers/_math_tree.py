r"""Reads an expression, LaTeX or plain, into a tree. A closed grammar: what is not listed fails.

Two things may never happen here: that different expressions give the same tree, and that reading
takes long. So the ambiguous is refused (`1/2x`, `2^3^2`, `\sin x y`, `f(x)`), and words are: a run
of letters is a product only in alphabetical order, or `silent` would equal `listen`.
"""

from __future__ import annotations

import itertools
import re
from fractions import Fraction
from typing import NamedTuple

MAX_LENGTH = 1024
MAX_DEPTH = 24
MAX_DIGITS = 400


class Unreadable(Exception):
    """The text is outside the grammar; the message says where."""


class Node(NamedTuple):
    """One node: an operation with its operands, or a leaf with its value."""

    op: str
    args: tuple[Node, ...] = ()
    value: Fraction | str = ""


_FUNCTIONS = "sin cos tan cot sec csc sinh cosh tanh arcsin arccos arctan ln log exp"
FUNCTIONS = frozenset(_FUNCTIONS.split())
_INVERSE = {"sin": "arcsin", "cos": "arccos", "tan": "arctan"}
_PLAIN = {"asin": "arcsin", "acos": "arccos", "atan": "arctan"}
_GREEK_NAMES = """
    alpha beta gamma delta epsilon varepsilon zeta eta theta vartheta iota kappa lambda mu nu xi
    rho sigma tau upsilon phi varphi chi psi omega Gamma Delta Theta Lambda Xi Sigma Phi Psi
    Omega ell"""
_GREEK = frozenset(_GREEK_NAMES.split())
_APPLIED = frozenset("fghFGHPQ")
_DIFFERENTIAL = re.compile("d[rstuvxyz]")
_CLOSERS = {"(": ")", "{": "}"}
_TOKEN = re.compile(
    r"\s*(?:(?P<num>(?:\d+(?:\.\d*)?|\.\d+)(?:\\overline\s*\{\d+\}|[eE][-+]?\d{1,4})?)"
    r"|(?P<cmd>\\(?:[A-Za-z]+|.))|(?P<word>[A-Za-z]+)|(?P<other>\*\*|\S))"
)


def parse(text: str) -> Node:
    """The tree of an expression.

    Raises:
        Unreadable: it is outside the grammar or beyond a limit.
    """
    if len(text) > MAX_LENGTH:
        raise Unreadable(f"longer than {MAX_LENGTH} characters")
    if not text.isascii():
        raise Unreadable("a character outside ASCII")
    reader = _Reader(_tokens(text))
    node = reader.sum(0)
    if reader.peek():
        raise Unreadable(f"unexpected {reader.peek()!r}")
    return node


def _tokens(text: str) -> list[str]:
    tokens: list[str] = []
    for match in _TOKEN.finditer(text.strip()):
        if word := match["word"]:
            tokens += _letters(word)
        else:
            tokens.append(match.group().strip())
    return tokens


def _letters(word: str) -> list[str]:
    """A plain word: a function, pi, or a product of letters."""
    word = _PLAIN.get(word, word)
    if word in FUNCTIONS or word in ("sqrt", "pi", "infinity", "inf", "oo"):
        return ["\\" + {"infinity": "infty", "inf": "infty", "oo": "infty"}.get(word, word)]
    if _DIFFERENTIAL.match(word):
        raise Unreadable(f"the differential {word[:40]!r}")
    if len(word) > 2 and not all(a < b for a, b in itertools.pairwise(word)):
        raise Unreadable(f"the word {word[:40]!r}")
    return list(word)


def _number(token: str) -> Fraction:
    if sum(c.isdigit() for c in token) > MAX_DIGITS:
        raise Unreadable("a number of too many digits")
    if "overline" not in token and "e" in token.lower():
        return _scientific(token)
    plain, _, period = token.partition(r"\overline")
    value = Fraction(plain if not plain.endswith(".") else plain + "0")
    if not period:
        return value
    if "." not in plain:
        raise Unreadable("a bar over whole digits")
    digits = re.sub(r"\D", "", period)
    places = len(plain.partition(".")[2])
    return value + Fraction(int(digits), 10**places * (10 ** len(digits) - 1))


def _scientific(token: str) -> Fraction:
    """`1.5e-7`; without a point and with a sign it could be e times two, minus seven."""
    mantissa, _, exponent = token.lower().partition("e")
    if "." not in mantissa and not exponent.isdigit():
        raise Unreadable("a power of ten, or the number e?")
    return _number(mantissa) * Fraction(10) ** int(exponent)


class _Reader:
    """Recursive descent over the tokens; every nested call carries its depth."""

    def __init__(self, tokens: list[str]) -> None:
        self.tokens = tokens
        self.at = 0
        self.in_bars = False

    def peek(self, ahead: int = 0) -> str:
        at = self.at + ahead
        return self.tokens[at] if at < len(self.tokens) else ""

    def take(self) -> str:
        token = self.peek()
        self.at += 1
        return token

    def expect(self, token: str) -> None:
        if self.take() != token:
            raise Unreadable(f"{token!r} is missing")

    def sum(self, depth: int) -> Node:
        if depth > MAX_DEPTH:
            raise Unreadable("nested too deeply")
        node = self.product(depth)
        while self.peek() in ("+", "-"):
            op = "add" if self.take() == "+" else "sub"
            node = Node(op, (node, self.product(depth)))
        return node

    def product(self, depth: int) -> Node:
        sign = self.take() if self.peek() in ("+", "-") else ""
        node = self.mixed(depth)
        divided = False
        while token := self.peek():
            if token in ("*", "/"):
                self.take()
                divided = token == "/"
                node = Node("div" if divided else "mul", (node, self.signed(depth, divided)))
            elif self.starts_factor(token):
                self.refuse_product(node, token, divided)
                node = Node("mul", (node, self.mixed(depth)))
            else:
                break
        return Node("neg", (node,)) if sign == "-" else node

    def signed(self, depth: int, divided: bool) -> Node:
        if self.peek() == "-":
            self.take()
            return Node("neg", (self.factor(depth),))
        return self.factor(depth) if divided else self.mixed(depth)

    def starts_factor(self, token: str) -> bool:
        if token == "|":
            return not self.in_bars
        return token[0].isalnum() or token == "(" or token[0] in ".\\"

    def refuse_product(self, left: Node, token: str, divided: bool) -> None:
        """Raise where two factors side by side could mean something else."""
        if divided:
            raise Unreadable("a product after a slash: where does the fraction end?")
        if token[0].isdigit() or token[0] == ".":
            raise Unreadable("a number after another factor")
        if token == "(" and left.op == "sym" and str(left.value)[0] in _APPLIED:
            raise Unreadable("a function applied, or a product?")

    def mixed(self, depth: int) -> Node:
        """A factor; a whole number with a proper fraction beside it is a mixed number."""
        node = self.factor(depth)
        if not (node.op == "num" and _is_whole(node)):
            return node
        if self.peek() == r"\frac":
            return _mixed(node, self.factor(depth))
        if self.peek().isdigit() and self.peek(1) == "/" and self.peek(2).isdigit():
            top = self.atom(depth + 1)
            self.take()
            return _mixed(node, Node("div", (top, self.atom(depth + 1))), strict=True)
        return node

    def factor(self, depth: int) -> Node:
        """An atom with its exponent, factorials and the like."""
        node = self.atom(depth + 1)
        while (token := self.peek()) in ("^", "**", "!", "%", r"\degree"):
            self.take()
            if token == "!":
                if self.peek() == "!":
                    raise Unreadable("a double factorial")
                node = Node("fact", (node,))
            elif token in ("^", "**"):
                if node.op == "call":
                    raise Unreadable("a power of a function call: of its value or argument?")
                node = Node("pow", (node, self.exponent(depth + 1)))
                if self.peek() in ("^", "**"):
                    raise Unreadable("a power of a power without brackets")
            else:
                raise Unreadable(f"a unit inside an expression: {token!r}")
        return node

    def exponent(self, depth: int) -> Node:
        if self.peek() == "-":
            self.take()
            return Node("neg", (self.atom(depth),))
        return self.atom(depth)

    def atom(self, depth: int) -> Node:
        if depth > MAX_DEPTH:
            raise Unreadable("nested too deeply")
        token = self.take()
        if not token:
            raise Unreadable("something is missing at the end")
        if token[0].isdigit() or (token[0] == "." and len(token) > 1):
            if self.peek() == "_":
                raise Unreadable("a number with an index")
            return Node("num", value=_number(token))
        if token in _CLOSERS or token == "|":
            bars, self.in_bars = self.in_bars, token == "|"
            node = self.sum(depth)
            self.expect(_CLOSERS.get(token, "|"))
            self.in_bars = bars
            return Node("abs", (node,)) if token == "|" else node
        if token.isalpha() and token.isascii():
            return self.symbol(token)
        if token[0] == "\\":
            return self.command(token[1:], depth)
        raise Unreadable(f"unexpected {token!r}")

    def symbol(self, name: str) -> Node:
        """A letter with its index and primes; `e` and `i` are the numbers."""
        index = ""
        if self.peek() == "_":
            self.take()
            index = "_" + self.index()
        while self.peek() == "'":
            index += self.take()
        if not index and name in ("e", "i"):
            return Node(name)
        return Node("sym", value=name + index)

    def index(self) -> str:
        token = self.take()
        if token != "{":
            if not token.isalnum():
                raise Unreadable("an index")
            return token
        parts = []
        while (token := self.take()) != "}":
            if not token or token in ("{", "^"):
                raise Unreadable("an index")
            parts.append(token)
        return " ".join(parts)

    def command(self, name: str, depth: int) -> Node:
        if name in ("pi", "infty"):
            return Node(name)
        if name in _GREEK:
            return self.symbol("\\" + name)
        if name in ("frac", "binom"):
            op = "div" if name == "frac" else "binom"
            return Node(op, (self.argument(depth), self.argument(depth)), "frac")
        if name == "sqrt":
            return self.root(depth)
        if name in ("lfloor", "lceil"):
            node = self.sum(depth)
            self.expect("\\r" + name[1:])
            return Node(name[1:], (node,))
        if name in FUNCTIONS:
            return self.call(name, depth)
        raise Unreadable(f"the command \\{name[:40]}")

    def argument(self, depth: int) -> Node:
        r"""`{...}`, or one character: `\frac12` is a half."""
        token = self.peek()
        if token == "{":
            return self.atom(depth)
        if token.isdigit():
            self.tokens[self.at : self.at + 1] = [token[0], token[1:]] if token[1:] else [token]
            return Node("num", value=_number(self.take()))
        if token.isalpha() or token == r"\pi":
            return self.atom(depth)
        raise Unreadable("an argument is missing")

    def root(self, depth: int) -> Node:
        if self.peek() == "[":
            self.take()
            degree = self.sum(depth)
            self.expect("]")
            return Node("root", (self.argument(depth), degree))
        token = self.peek()
        inner = self.atom(depth) if token in ("(", "{") or token.isdigit() else self.argument(depth)
        return Node("root", (inner, Node("num", value=Fraction(2))))

    def call(self, name: str, depth: int) -> Node:
        base: tuple[Node, ...] = ()
        power: Node | None = None
        if self.peek() == "_" and name == "log":
            self.take()
            base = (self.argument(depth),)
        if self.peek() == "^":
            self.take()
            power = self.exponent(depth)
        if power == Node("neg", (Node("num", value=Fraction(1)),)):
            if name not in _INVERSE:
                raise Unreadable(f"the inverse of {name}")
            name, power = _INVERSE[name], None
        node = Node("call", (self.operand(depth), *base), name)
        return node if power is None else Node("pow", (node, power))

    def operand(self, depth: int) -> Node:
        r"""What a function applies to: brackets, or numbers and at most one symbol (`\sin 2x`)."""
        if self.peek() in ("(", "{", "|"):
            return self.atom(depth)
        node: Node | None = None
        while (token := self.peek()) and self.starts_factor(token):
            bare = token[1:] if token[0] == "\\" else token
            if token == "(" or bare in FUNCTIONS:
                break
            if node is not None and node.op not in ("num", "pi"):
                raise Unreadable("where does the argument of the function end?")
            right = self.factor(depth)
            node = right if node is None else Node("mul", (node, right))
        if node is None or self.peek() in ("(", "{", "/"):
            raise Unreadable("where does the argument of the function end?")
        return node


def _is_whole(node: Node) -> bool:
    return isinstance(node.value, Fraction) and node.value.denominator == 1


def _mixed(whole: Node, part: Node, strict: bool = False) -> Node:
    """`3 1/2` is three and a half; a product where the second is no proper fraction."""
    proper = part.op == "div" and all(a.op == "num" and _is_whole(a) for a in part.args)
    if proper:
        top, bottom = (a.value for a in part.args)
        assert isinstance(top, Fraction)
        assert isinstance(bottom, Fraction)
        if 0 < top < bottom:
            assert isinstance(whole.value, Fraction)
            return Node("num", value=whole.value + top / bottom)
    if strict or proper:
        raise Unreadable("a number beside a fraction: a mixed number, or a product?")
    return Node("mul", (whole, part))


def symbols(node: Node) -> frozenset[str]:
    """The free symbols of a tree."""
    if node.op == "sym":
        return frozenset((str(node.value),))
    return frozenset[str]().union(*(symbols(a) for a in node.args))


def size(node: Node) -> int:
    """How many nodes a tree has."""
    return 1 + sum(size(a) for a in node.args)
