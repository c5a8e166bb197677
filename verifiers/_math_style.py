"""Whether an answer that is equal to the reference is an answer, and not the question over again.

`17 * 23` equals 391 and `x^2 - 1` equals `(x-1)(x+1)`; where the question was to multiply or to
factor, neither answers it.
"""

from __future__ import annotations

import math
import re
from fractions import Fraction

from verifiers import _math_text
from verifiers._math_tree import Node, size, symbols

_FACTOR = re.compile(r"\bfactor(?:i[sz]e|ed|i[sz]ation)?\b(?!s)", re.IGNORECASE)
_EXPAND = re.compile(r"\b(?:expand|multiply out|distribute)", re.IGNORECASE)
_SIMPLIFY = re.compile(
    r"\b(?:simplif|simplest|lowest terms|reduced?\b|common fraction)", re.IGNORECASE
)


def is_numeral(node: Node) -> bool:
    """Written out: 12, -3/4, 0.5, 3 1/2, 1.5 * 10^8; not 3 * 4, not 2^10."""
    match node.op:
        case "num":
            return True
        case "neg":
            return node.args[0].op != "neg" and is_numeral(node.args[0])
        case "div":
            return all(a.op == "num" or _negated_number(a) or _power_of_ten(a) for a in node.args)
        case "mul":
            return node.args[0].op == "num" and _power_of_ten(node.args[1])
    return _power_of_ten(node)


def _negated_number(node: Node) -> bool:
    return node.op == "neg" and node.args[0].op == "num"


def _power_of_ten(node: Node) -> bool:
    if node.op != "pow" or node.args[0] != Node("num", value=Fraction(10)):
        return False
    return node.args[1].op == "num" or _negated_number(node.args[1])


def unfinished(prompt: str, wanted: Node, given: Node, given_text: str) -> str:
    """Why an equal answer is no answer to this prompt, in one line; empty if it is one."""
    if is_numeral(wanted):
        if not is_numeral(given):
            return "the reference is a number, the answer is not worked out"
        return "the fraction is not reduced" if _reducible(given, prompt) else ""
    key = _math_text.key(given_text)
    if len(key) > 2 and key in _math_text.key(_math_text.clean(prompt)):
        return "the answer repeats an expression of the question"
    if _FACTOR.search(prompt) and _factors(given) < _factors(wanted):
        return "the answer is not factored"
    if _EXPAND.search(prompt) and _has_unexpanded(given) and not _has_unexpanded(wanted):
        return "the answer is not expanded"
    if _SIMPLIFY.search(prompt) and size(given) > 1.3 * size(wanted) + 3:
        return "the answer is not simplified"
    return ""


def _reducible(node: Node, prompt: str) -> bool:
    node = node.args[0] if node.op == "neg" else node
    if node.op != "div" or not _SIMPLIFY.search(prompt):
        return False
    values = [a.args[0].value if a.op == "neg" else a.value for a in node.args]
    whole = [v.numerator for v in values if isinstance(v, Fraction) and v.denominator == 1]
    return len(whole) < 2 or math.gcd(*whole) > 1


def _factors(node: Node) -> int:
    """How many factors with a symbol a product has; a power counts as often as it says."""
    if node.op in ("mul", "neg"):
        return sum(_factors(a) for a in node.args)
    if not symbols(node):
        return 0
    if node.op == "pow" and isinstance(node.args[1].value, Fraction):
        power = node.args[1].value
        return int(power) if power.denominator == 1 and 0 < power < 100 else 1
    return 1


def _has_unexpanded(node: Node) -> bool:
    if node.op in ("mul", "pow"):
        sums = [a for a in node.args if a.op in ("add", "sub") and symbols(a)]
        if sums:
            return True
    return any(_has_unexpanded(a) for a in node.args)
