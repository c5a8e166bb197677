r"""Reads an expression, LaTeX or plain, into a tree. A closed grammar: what is not listed fails.

Two things may never happen here: that different expressions give the same tree, and that reading
takes long. So the ambiguous is refused (`1/2x`, `2^3^2`, `\sin x y`, `f(x)`), and words are
(`_math_tokens`). Sums and products have any number of operands, a difference is a sum with a
negated term, so trees stay shallow.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple

from verifiers._math_tokens import FUNCTIONS, Unreadable, number, tokens

MAX_DEPTH = 24
_MAX_SLASHES = 4


class Node(NamedTuple):
    """One node: an operation with its operands, or a leaf with its value."""

    op: str
    args: tuple[Node, ...] = ()
    value: Fraction | str = ""


def num(value: int) -> Node:
    """A whole number."""
    return Node("num", value=Fraction(value))


_INVERSE = {"sin": "arcsin", "cos": "arccos", "tan": "arctan"}
_GREEK_NAMES = """
    alpha beta gamma delta epsilon varepsilon zeta eta theta vartheta iota kappa lambda mu nu xi
    rho sigma tau upsilon phi varphi chi psi omega Gamma Delta Theta Lambda Xi Sigma Phi Psi
    Omega ell hbar"""
_GREEK = frozenset(_GREEK_NAMES.split())
_DECORATIONS = frozenset(["vec", "hat", "bar", "tilde", "overline"])
_APPLIED = frozenset("fghFGHPQ")
_NO_FACTOR = frozenset([r"\over", r"\choose", r"\rfloor", r"\rceil", r"\degree"])
_CLOSERS = {"(": ")", "{": "}"}
_RADIANS = Node("div", (Node("pi"), num(180)))


def parse(text: str) -> Node:
    """The tree of an expression.

    Raises:
        Unreadable: it is outside the grammar or beyond a limit.
    """
    reader = _Reader(tokens(text))
    node = reader.sum(0)
    if reader.peek():
        raise Unreadable(f"unexpected {reader.peek()!r}")
    return node


class _Reader:
    """Recursive descent over the tokens; every nested call carries its depth."""

    def __init__(self, tokens: list[str]) -> None:
        self.tokens = tokens
        self.at = 0
        self.in_bars = False
        self.in_call = 0

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
        terms = [self.product(depth)]
        while self.peek() in ("+", "-"):
            negative = self.take() == "-"
            term = self.product(depth)
            terms.append(Node("neg", (term,)) if negative else term)
        return terms[0] if len(terms) == 1 else Node("add", tuple(terms))

    def product(self, depth: int) -> Node:
        sign = self.take() if self.peek() in ("+", "-") else ""
        factors = [self.mixed(depth)]
        slashes, divided = 0, False
        while token := self.peek():
            if token == "/":
                self.take()
                slashes, divided = slashes + 1, True
                node = Node("div", (_product(factors), self.signed(depth, divisor=True)))
                factors = [node]
            elif token == "*":
                self.take()
                divided = False
                factors.append(self.signed(depth, divisor=False))
            elif self.starts_factor(token):
                self.refuse_product(factors[-1], token, divided)
                factors.append(self.mixed(depth))
            else:
                break
            if slashes > _MAX_SLASHES:
                raise Unreadable("too many slashes")
        node = _product(factors)
        return Node("neg", (node,)) if sign == "-" else node

    def signed(self, depth: int, divisor: bool) -> Node:
        if self.peek() == "-":
            self.take()
            return Node("neg", (self.factor(depth),))
        return self.factor(depth) if divisor else self.mixed(depth)

    def starts_factor(self, token: str) -> bool:
        if token == "|":
            return not self.in_bars
        if token in _NO_FACTOR:
            return False
        return token[0].isalnum() or token == "(" or token[0] in ".\\"

    def refuse_product(self, left: Node, token: str, divided: bool) -> None:
        """Raise where two factors side by side could mean something else."""
        if divided:
            raise Unreadable("a product after a slash: where does the fraction end?")
        if (token[0].isdigit() or token[0] == ".") and left.op != "i":
            raise Unreadable("a number after another factor")
        if token == "(" and left.op == "sym" and str(left.value)[0] in _APPLIED:
            raise Unreadable("a function applied, or a product?")

    def mixed(self, depth: int) -> Node:
        """A factor; a whole number with a proper fraction beside it is a mixed number."""
        node = self.factor(depth)
        if not (node.op == "num" and is_whole(node)):
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
        closed = self.peek() in _CLOSERS
        node = self.atom(depth + 1)
        while (token := self.peek()) in ("^", "**", "!", "%", r"\degree"):
            self.take()
            if token == "!":
                if self.peek() == "!":
                    raise Unreadable("a double factorial")
                node = Node("fact", (node,))
            elif token in ("^", "**"):
                if node.op == "call" and not closed:
                    raise Unreadable("a power of a function call: of its value or argument?")
                node = Node("pow", (node, self.exponent(depth + 1)))
                if self.peek() in ("^", "**"):
                    raise Unreadable("a power of a power without brackets")
            elif token == r"\degree" and self.in_call:
                node = Node("mul", (node, _RADIANS))
            else:
                raise Unreadable(f"a unit inside an expression: {token!r}")
        return node

    def exponent(self, depth: int) -> Node:
        sign = self.take() if self.peek() in ("+", "-") else ""
        node = self.atom(depth)
        return Node("neg", (node,)) if sign == "-" else node

    def atom(self, depth: int) -> Node:
        if depth > MAX_DEPTH:
            raise Unreadable("nested too deeply")
        token = self.take()
        if not token:
            raise Unreadable("something is missing at the end")
        if token[0].isdigit() or (token[0] == "." and len(token) > 1):
            if self.peek() == "_":
                raise Unreadable("a number with an index")
            return Node("num", value=number(token))
        if token in _CLOSERS or token == "|":
            return self.group(token, depth)
        if token.isalpha() and token.isascii():
            return self.symbol(token)
        if token[0] == "\\":
            return self.command(token[1:], depth)
        raise Unreadable(f"unexpected {token!r}")

    def group(self, opener: str, depth: int) -> Node:
        r"""What stands in brackets, braces or bars; `{a \over b}` and `{a \choose b}` too."""
        bars, self.in_bars = self.in_bars, opener == "|"
        node = self.sum(depth)
        if opener == "{" and self.peek() in (r"\over", r"\choose"):
            op = "div" if self.take() == r"\over" else "binom"
            node = Node(op, (node, self.sum(depth)), "frac")
        self.expect(_CLOSERS.get(opener, "|"))
        self.in_bars = bars
        return Node("abs", (node,)) if opener == "|" else node

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
        if name in _DECORATIONS:
            return self.decorated(name)
        raise Unreadable(f"the command \\{name[:40]}")

    def decorated(self, name: str) -> Node:
        r"""`\vec{a}`, `\overline{AB}`: letters that are one symbol."""
        token = self.take()
        letters = ""
        while token == "{" and self.peek().isalpha():
            letters += self.take()
        if token == "{":
            self.expect("}")
        else:
            letters = token
        if not (letters.isalpha() and letters.isascii()):
            raise Unreadable(f"the command \\{name}")
        return self.symbol(f"\\{name} {letters}")

    def argument(self, depth: int) -> Node:
        r"""`{...}`, or one character or command: `\frac12` is a half."""
        token = self.peek()
        if token == "{":
            return self.atom(depth)
        if token.isdigit():
            self.tokens[self.at : self.at + 1] = [token[0], token[1:]] if token[1:] else [token]
            return Node("num", value=number(self.take()))
        if token.isalpha() or token[1:] in _GREEK or token in (r"\pi", r"\sqrt", r"\frac"):
            return self.atom(depth + 1)
        raise Unreadable("an argument is missing")

    def root(self, depth: int) -> Node:
        if self.peek() == "[":
            self.take()
            degree = self.sum(depth)
            self.expect("]")
            return Node("root", (self.argument(depth), degree))
        token = self.peek()
        inner = self.atom(depth) if token in ("(", "{") or token.isdigit() else self.argument(depth)
        return Node("root", (inner, num(2)))

    def call(self, name: str, depth: int) -> Node:
        base: tuple[Node, ...] = (num(10),) if name == "lg" else ()
        power: Node | None = None
        if self.peek() == "_" and name == "log":
            self.take()
            base = (self.argument(depth),)
        if self.peek() == "^":
            self.take()
            power = self.exponent(depth)
        if power == Node("neg", (num(1),)):
            if name not in _INVERSE:
                raise Unreadable(f"the inverse of {name}")
            name, power = _INVERSE[name], None
        self.in_call += 1
        inner = self.operand(depth)
        self.in_call -= 1
        node = Node("call", (inner, *base), "log" if name == "lg" else name)
        return node if power is None else Node("pow", (node, power))

    def operand(self, depth: int) -> Node:
        r"""What a function applies to: brackets, or numbers and at most one symbol (`\sin 2x`)."""
        if self.peek() in ("(", "{", "|"):
            return self.atom(depth)
        factors: list[Node] = []
        while (token := self.peek()) and self.starts_factor(token):
            bare = token[1:] if token[0] == "\\" else token
            if token == "(" or bare in FUNCTIONS:
                break
            if factors and factors[-1].op not in ("num", "pi"):
                raise Unreadable("where does the argument of the function end?")
            factors.append(self.factor(depth))
        if not factors or self.peek() in ("(", "{", "/"):
            raise Unreadable("where does the argument of the function end?")
        return _product(factors)


def _product(factors: list[Node]) -> Node:
    return factors[0] if len(factors) == 1 else Node("mul", tuple(factors))


def is_whole(node: Node) -> bool:
    """Whether a node is a whole number, written as such."""
    return isinstance(node.value, Fraction) and node.value.denominator == 1


def _mixed(whole: Node, part: Node, strict: bool = False) -> Node:
    """`3 1/2` is three and a half; a product where the second is no proper fraction."""
    proper = part.op == "div" and all(a.op == "num" and is_whole(a) for a in part.args)
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


def walk(node: Node) -> Iterator[Node]:
    """Every node of a tree, the node itself first."""
    yield node
    for arg in node.args:
        yield from walk(arg)


def symbols(node: Node) -> frozenset[str]:
    """The free symbols of a tree."""
    return frozenset(str(n.value) for n in walk(node) if n.op == "sym")


def size(node: Node) -> int:
    """How many nodes a tree has."""
    return sum(1 for _ in walk(node))
