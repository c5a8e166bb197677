"""Whether an answer that is equal to the reference is an answer, and not the question over again.

`17 * 23` equals 391 and `x^2 - 1` equals `(x-1)(x+1)`; where the question was to multiply or to
factor, neither answers it. Every rule here can only turn an equal answer into an undecided one.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from fractions import Fraction

from verifiers._math_exact import TooLarge, Undefined, exact
from verifiers._math_question import Question, repeats
from verifiers._math_tree import Node, is_whole, num, size, symbols, walk

_FACTOR = re.compile(r"\bfactor(?:i[sz]e|ed|i[sz]ation)?\b(?!s)", re.IGNORECASE)
_EXPAND = re.compile(r"\b(?:expand|multiply out|distribute)", re.IGNORECASE)
_SIMPLIFY = re.compile(
    r"\b(?:simplif|simplest|lowest terms|reduced?\b|common fraction|radical form)", re.IGNORECASE
)
_RATIONAL = re.compile(r"\brationali[sz]", re.IGNORECASE)
_CONVERT = re.compile(r"\b(?:convert|express|write|rewrite|represent|change|turn)\b", re.IGNORECASE)
FORM = re.compile(
    r"\b(?:in|into|of|has) (?:the|its|a) (?:simplest |standard |general |following )?form\b"
    r"|\bcomplet\w+ the square|\bpartial fractions?\b|\bprime factor|\bproduct of primes"
    r"|\bsingle (?:fraction|logarithm|power)"
    r"|\b(?:vertex|standard|slope-intercept|point-slope|factored|expanded|polar|rectangular"
    r"|trigonometric|exponential|logarithmic|general|normal) form\b",
    re.IGNORECASE,
)
_PRIMES = re.compile(r"\bprime factor|\bproduct of primes", re.IGNORECASE)
_AS = r"\b(?:as|into|to|in)\s+(?:an?\s+)?(?:[a-z-]+\s+){0,2}?"
_STYLES = {
    "mixed": re.compile(r"\bmixed (?:number|numeral|fraction)", re.IGNORECASE),
    "scientific": re.compile(r"\bscientific (?:notation|form)", re.IGNORECASE),
    "decimal": re.compile(rf"{_AS}decimal", re.IGNORECASE),
    "fraction": re.compile(rf"{_AS}fraction", re.IGNORECASE),
}
_MIXED_TEXT = re.compile(r"\d\s*\\frac|\d\s+\d+\s*/")
_SHORTEST_POWER = 4
_BIG = 10**12
"""From here on a power, a factorial or a binomial coefficient is a way to write a number down."""
_COMPUTED = frozenset(["pow", "root", "fact", "binom", "abs", "floor", "ceil"])
_MAX_ROOT = 1000
_FAMILIES = {"lg": "ln", "log": "ln", "exp": "exp"}


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
            return len(node.args) == 2 and node.args[0].op == "num" and _power_of_ten(node.args[1])
    return _power_of_ten(node) and not _is_short(node.args[1])


def _is_short(power: Node) -> bool:
    """Whether a power of ten is shorter written out: `10^2`."""
    return isinstance(power.value, Fraction) and 0 <= power.value < _SHORTEST_POWER


def _negated_number(node: Node) -> bool:
    return node.op == "neg" and node.args[0].op == "num"


def _power_of_ten(node: Node) -> bool:
    if node.op != "pow" or node.args[0] != num(10):
        return False
    return node.args[1].op == "num" or _negated_number(node.args[1])


def unfinished(
    question: Question, wanted: Node, given: Node, wanted_text: str, given_text: str
) -> str:
    """Why an equal answer is no answer to this question, in one line; empty if it is one."""
    if is_numeral(wanted):
        if not is_numeral(given):
            written = _writes_down(question, wanted, given)
            return "" if written else "the reference is a number, the answer is not worked out"
        return _wrong_numeral(question, wanted, given, wanted_text, given_text)
    if repeats(question, given_text):
        return "the answer repeats an expression of the question"
    if not symbols(wanted) and _calls(given) - _calls(wanted):
        return "the answer holds functions that are not worked out"
    for test in (has_arithmetic, _has_like_terms, _has_cancelling):
        if test(given) and not test(wanted):
            return "the answer is not worked out"
    return _wrong_form(question, wanted, given)


def _writes_down(question: Question, wanted: Node, given: Node) -> bool:
    """`2^{100}` for its 31 digits, where the question does not hold the numbers it is made of."""
    if wanted.op != "num" or not is_whole(wanted) or not isinstance(wanted.value, Fraction):
        return False
    if wanted.value < _BIG or given.op not in ("pow", "fact", "binom"):
        return False
    if any(a.op != "num" or not is_whole(a) for a in given.args):
        return False
    known = set(re.findall(r"\d+", question.prompt))
    return not {str(a.value) for a in given.args} <= known


def _wrong_numeral(
    question: Question, wanted: Node, given: Node, wanted_text: str, given_text: str
) -> str:
    styles = _style(wanted, wanted_text), _style(given, given_text)
    for style, demand in _STYLES.items():
        if styles[0] == style != styles[1] and demand.search(question.prompt):
            return f"a {style} is asked for"
    if _reducible(given, "reduced") and _only_numbers_of(question, given):
        return "the numbers of the question, not worked out"
    converts = styles[0] != styles[1] and _CONVERT.search(question.prompt) is not None
    if converts and repeats(question, given_text):
        return "the answer repeats a number of the question"
    if styles[1] == "scientific" and _STYLES["scientific"].search(question.prompt):
        mantissa = next(n.value for n in walk(given) if isinstance(n.value, Fraction))
        return "" if 1 <= mantissa < 10 else "the notation is not scientific"
    return "the fraction is not reduced" if _reducible(given, question.prompt) else ""


def _only_numbers_of(question: Question, node: Node) -> bool:
    numbers = {str(n.value) for n in walk(node) if n.op == "num"}
    return numbers <= set(re.findall(r"\d+", question.prompt))


def _style(node: Node, text: str) -> str:
    if any(_power_of_ten(n) for n in walk(node)):
        return "scientific"
    if _MIXED_TEXT.search(text):
        return "mixed"
    if "." in text:
        return "decimal"
    return "fraction" if any(n.op == "div" for n in walk(node)) else "integer"


def _reducible(node: Node, prompt: str) -> bool:
    node = node.args[0] if node.op == "neg" else node
    if node.op != "div" or not _SIMPLIFY.search(prompt):
        return False
    values = [a.args[0].value if a.op == "neg" else a.value for a in node.args]
    whole = [v.numerator for v in values if isinstance(v, Fraction) and v.denominator == 1]
    return len(whole) < 2 or math.gcd(*whole) > 1


def _calls(node: Node) -> set[str]:
    """The functions in a tree; all logarithms count as one."""
    names = (str(n.value) for n in walk(node) if n.op == "call")
    return {_FAMILIES.get(name, name) for name in names}


def has_arithmetic(node: Node) -> bool:
    """Whether something is left to compute: `2*3*x`, `x^{1+1}`, `3 + 4 + x`, `sqrt(16) x`."""
    if node.op in ("add", "mul"):
        plain = [a for a in node.args if is_numeral(a)]
        if num(0) in plain or (node.op == "mul" and num(1) in plain):
            return True
        tens = [a for a in plain if _power_of_ten(a)]
        if len(plain) - (len(tens) if node.op == "mul" else 0) > 1:
            return True
    elif node.op in _COMPUTED and not is_numeral(node):
        try:
            if exact(node) is not None:
                return True
        except (TooLarge, Undefined):
            return False
    return any(has_arithmetic(a) for a in node.args)


def _has_like_terms(node: Node) -> bool:
    """`x + 2x`, `sqrt(3) + sqrt(3)/2`: terms that differ by a number alone."""
    if node.op == "add":
        terms = [_term(a) for a in node.args if not is_numeral(a)]
        if len(set(terms)) < len(terms):
            return True
    return any(_has_like_terms(a) for a in node.args)


def _has_cancelling(node: Node) -> bool:
    """Whether the same thing is multiplied by and divided by: `(x+3)(x-3)/(x+3)`, `b^2/b^5`."""
    if node.op in ("mul", "div"):
        above, below = set[str](), set[str]()
        for factor, is_below in _flat(node):
            base = factor.args[0] if factor.op == "pow" else factor
            if symbols(base):
                (below if is_below else above).add(shape(base, erase=False))
        if above & below:
            return True
    return any(_has_cancelling(a) for a in node.args)


def _wrong_form(question: Question, wanted: Node, given: Node) -> str:
    prompt = question.prompt
    if _FACTOR.search(prompt) and _factors(given) < _factors(wanted):
        return "the answer is not factored"
    if _EXPAND.search(prompt) and _has_unexpanded(given) and not _has_unexpanded(wanted):
        return "the answer is not expanded"
    if _RATIONAL.search(prompt) and _has_root_below(given) and not _has_root_below(wanted):
        return "the denominator is not rational"
    if _SIMPLIFY.search(prompt) or _RATIONAL.search(prompt):
        for test in (_has_square_in_root, _has_common_factor):
            if test(given) and not test(wanted):
                return "the answer is not simplified"
        if size(given) > 1.3 * size(wanted) + 3:
            return "the answer is not simplified"
    primes = _PRIMES.search(prompt) is not None
    if FORM.search(prompt) and shape(given, not primes) != shape(wanted, not primes):
        return "a certain form is asked for"
    return ""


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
    if node.op in ("mul", "pow") and any(a.op == "add" and symbols(a) for a in node.args):
        return True
    return any(_has_unexpanded(a) for a in node.args)


def _has_root_below(node: Node) -> bool:
    """A root, or a power that is one, in a denominator."""
    for n in walk(node):
        if n.op == "div" and any(_is_root(m) for m in walk(n.args[1])):
            return True
        if n.op == "pow" and n.args[1].op == "neg" and not symbols(n) and _is_root(n):
            return True
    return False


def _is_root(node: Node) -> bool:
    if node.op == "root":
        return True
    return node.op == "pow" and any(
        n.op == "div" or (n.op == "num" and not is_whole(n)) for n in walk(node.args[1])
    )


def _has_square_in_root(node: Node) -> bool:
    """`sqrt(72)`: a square root of a whole number with a square in it."""
    for n in walk(node):
        if n.op == "root" and n.args[1] == num(2) and is_whole(n.args[0]):
            value = int(n.args[0].value)
            roots = range(2, min(math.isqrt(max(value, 0)), _MAX_ROOT) + 1)
            if any(value % (k * k) == 0 for k in roots):
                return True
    return False


def _has_common_factor(node: Node) -> bool:
    """`2x/4`: a number that divides both sides of a fraction."""
    return any(
        n.op == "div" and math.gcd(_content(n.args[0]), _content(n.args[1])) > 1 for n in walk(node)
    )


def _content(node: Node) -> int:
    """A whole number that divides the node."""
    if node.op == "num":
        return int(node.value) if is_whole(node) else 1
    if node.op == "neg":
        return _content(node.args[0])
    if node.op == "mul":
        return math.prod(_content(a) for a in node.args)
    return math.gcd(*(_content(a) for a in node.args)) if node.op == "add" else 1


def shape(node: Node, erase: bool = True) -> str:
    """What a tree looks like whatever the order in sums and products.

    With `erase`, whatever its numbers and signs as well.
    """
    if node.op == "num":
        return "#" if erase else str(node.value)
    if node.op == "neg" and erase:
        return shape(node.args[0])
    if node.op in ("mul", "div"):
        numbers = [f"{'/' if below else ''}{n.value}" for n, below in _flat(node) if n.op == "num"]
        plain = ["#"] if numbers and erase else numbers
        return "*".join(sorted(plain + _symbolic_factors(node, erase)))
    parts = [shape(arg, erase) for arg in node.args]
    return f"{node.op}{node.value}({','.join(sorted(parts) if node.op == 'add' else parts)})"


def _term(node: Node) -> str:
    """What a term of a sum is apart from its number."""
    return "*".join(sorted(_symbolic_factors(node, erase=False)))


def _symbolic_factors(node: Node, erase: bool) -> list[str]:
    factors = ((n, below) for n, below in _flat(node) if n.op != "num")
    return [("/" if below else "") + shape(n, erase) for n, below in factors]


def _flat(node: Node, below: bool = False) -> Iterator[tuple[Node, bool]]:
    """What is multiplied, and (`below`) divided by."""
    if node.op == "neg":
        yield num(-1), below
        yield from _flat(node.args[0], below)
    elif node.op == "mul":
        for arg in node.args:
            yield from _flat(arg, below)
    elif node.op == "div":
        yield from _flat(node.args[0], below)
        yield from _flat(node.args[1], not below)
    else:
        yield node, below
