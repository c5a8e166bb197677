r"""What a question says about the form of its answer.

An answer that equals the reference is no answer where it repeats the question, and what a bare
value stands for (`m+n = 7`, `(x, y)`, a percentage, a positive number) is only known from here.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass

from verifiers import _math_text

MAX_PROMPT = 6000
"""How much of a long prompt is read, from its end."""
_MAX_SPANS = 80
_MAX_SPAN = 300
_SPAN = re.compile(
    r"\$\$([^$]+)\$\$|\$([^$]+)\$|\\\(((?:(?!\\\)).)+)\\\)|\\\[((?:(?!\\\]).)+)\\\]", re.DOTALL
)
_ASKS = re.compile(
    r"\b(?:solve|find|compute|evaluate|determine|calculate|simplify|express"
    r"|what(?:'s| is| are))(?:\s+(?:for|the|your|an?|its|possible|all|exact|numerical|sum|product"
    r"|expression|values?|of"
    r"|area|length|measure|ratio|probability|limit|integral|derivative|function|coordinates"
    r"|solution|equation|point|vector|matrix|angle|median|number|remainder|maximum|minimum"
    r"|largest|smallest|greatest|least))*\s*$",
    re.IGNORECASE,
)
_SIGN = re.compile(r"[=<>]|\\(?:leq?|geq?|neq?|in|approx|equiv)(?![A-Za-z])")
_LETTER = re.compile(r"(?<![A-Za-z\\])[A-Za-z](?![A-Za-z])")
_NAMES = re.compile(r"\(\s*([A-Za-z](?:\s*,\s*[A-Za-z]){1,5})\s*\)")
_PERCENT = re.compile(r"(?<!\d)(?<!\d )\bpercent(?:age)?s?\b", re.IGNORECASE)
_POSITIVE = re.compile(
    r"\b(?:positive|non-?negative)\b|[A-Za-z]\s*(?:>|\\gt|\\geq?|\u2265)\s*0(?![.\d])",
    re.IGNORECASE,
)
_POINTS = re.compile(
    r"\b(?:points?|ordered|pairs?|triples?|coordinates?|vertex|vertices|vectors?|cent(?:er|re)"
    r"|foc(?:us|i)|midpoint|intersection|intercepts?|lattice)\b",
    re.IGNORECASE,
)
_ANTIDERIVATIVE = re.compile(
    r"\\int|\bintegra|\bantiderivative|\bprimitive|general solution|\bdifferential", re.IGNORECASE
)
_RATIO = re.compile(r"\bratios?\b|\bodds\b|\bproportion", re.IGNORECASE)
_REMAINDER = re.compile(r"\bremainder|\b(?:unit|one|last)s?\b[\w ]{0,8}\bdigit", re.IGNORECASE)
_SOLVE = re.compile(r"\bsolv(?:e|ing)\b", re.IGNORECASE)
_SOLVING = re.compile(
    r"\bsolv|\bsolutions?\b|\broots?\b|\bzeros?\b|\ball\b|\bvalues?\b|\bset\b|\bfind\b|\bdetermine\b",
    re.IGNORECASE,
)


_BASE = re.compile(r"\bbase[\s$-]*(\d{1,2}|[a-z]+)|\b(decimal|binary|octal|hex)", re.IGNORECASE)
_BASE_NAMES = {"decimal": "10", "ten": "10", "binary": "2", "two": "2", "octal": "8", "hex": "16"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What a prompt says about its answer."""

    prompt: str
    """Its end, as far as it is read."""
    text: str
    """The same in the spelling of answers, without loose spaces."""
    asked: frozenset[str] = frozenset()
    """Keys of the expressions whose value is asked for: `m+n` in "find $m+n$"."""
    variables: frozenset[str] = frozenset()
    """Single letters in its formulas."""
    orders: tuple[tuple[str, ...], ...] = ()
    """Names in the order of the tuples in which it lists them."""
    base: str = ""
    """The base it names last: the one that an answer is wanted in."""
    wants_percent: bool = False
    is_positive: bool = False
    """It restricts something to positive (or not negative) values."""
    wants_points: bool = False
    wants_antiderivative: bool = False
    wants_ratio: bool = False
    wants_remainder: bool = False
    wants_solved: bool = False
    wants_solutions: bool = False


@functools.lru_cache(maxsize=256)
def read(prompt: str) -> Question:
    """What a prompt says about its answer."""
    prompt = prompt[-MAX_PROMPT:]
    asked, formulas = set(), []
    for n, match in enumerate(_SPAN.finditer(prompt.replace(r"\$", "  "))):
        inner = next(g for g in match.groups() if g is not None)
        if n == _MAX_SPANS or len(inner) > _MAX_SPAN:
            break
        formulas.append(inner)
        if not _SIGN.search(inner) and _ASKS.search(
            prompt[max(0, match.start() - 80) : match.start()]
        ):
            asked.add(_math_text.key(_math_text.clean(inner)))
    bases = [(m[1] or m[2]).lower() for m in _BASE.finditer(prompt)]
    orders = tuple(tuple(re.split(r"\s*,\s*", m[1])) for m in _NAMES.finditer(prompt))
    return Question(
        prompt=prompt,
        text=_math_text.key(_math_text.clean(prompt)),
        asked=frozenset(asked),
        variables=frozenset(v for formula in formulas for v in _LETTER.findall(formula)),
        orders=orders,
        base=_BASE_NAMES.get(bases[-1], bases[-1]) if bases else "",
        wants_percent=_PERCENT.search(prompt) is not None,
        is_positive=_POSITIVE.search(prompt) is not None,
        wants_points=_POINTS.search(prompt) is not None,
        wants_antiderivative=_ANTIDERIVATIVE.search(prompt) is not None,
        wants_ratio=_RATIO.search(prompt) is not None,
        wants_remainder=_REMAINDER.search(prompt) is not None,
        wants_solved=_SOLVE.search(prompt) is not None,
        wants_solutions=_SOLVING.search(prompt) is not None,
    )


def repeats(question: Question, cleaned: str) -> bool:
    """Whether an answer stands in the question, as an expression of its own."""
    key = _math_text.key(cleaned)
    at = question.text.find(key) if len(key) > 1 else -1
    while at >= 0:
        before, after = question.text[:at][-1:], question.text[at + len(key) :][:1]
        inside = (before.isalnum() and key[0].isalnum()) or (after.isalnum() and key[-1].isalnum())
        if not inside and before not in tuple("\\_^.") and after not in tuple("^_!"):
            return True
        at = question.text.find(key, at + 1)
    return False


def order_of(question: Question, names: frozenset[str]) -> tuple[str, ...]:
    """The order of these names in a tuple: the question's own, or the alphabet's."""
    for order in question.orders:
        if frozenset(order) == names:
            return order
    return tuple(sorted(names))
