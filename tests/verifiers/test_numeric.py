"""Quantities: arithmetic and units are checked against fractions worked out here."""

import math
import re
from fractions import Fraction

import pint
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from factory import plugins
from factory.errors import PluginError
from factory.types import Completion, Judgement, Outcome, Problem
from verifiers import _numeric_text, _numeric_units
from verifiers._numeric_asked import magnitude
from verifiers._numeric_perturb import spell
from verifiers._numeric_units import PLAIN, Unit, convert, parse
from verifiers.numeric import Verifier

SIZES = {
    "length": {"m": 1, "cm": "1/100", "km": 1000, "in": "127/5000", "ft": "381/1250"},
    "time": {"s": 1, "ms": "1/1000", "min": 60, "h": 3600, "day": 86400},
    "mass": {"kg": 1, "g": "1/1000", "mg": "1/1000000", "t": 1000, "lb": "45359237/100000000"},
    "speed": {"m/s": 1, "km/h": "5/18", "m s^{-1}": 1, "mph": "1397/3125", "cm/ms": 10},
    "energy": {"J": 1, "kJ": 1000, "N m": 1, "kWh": 3600000, "W·s": 1, "kg m^2 s^-2": 1},
    "ratio": {"": 1, "%": "1/100", "ppm": "1/1000000"},
}  # fmt: skip
"""Independent of pint: sizes as the definitions of the units give them."""
UNITS = [(kind, unit, Fraction(size)) for kind, d in SIZES.items() for unit, size in d.items()]

units = st.sampled_from(UNITS)
values = st.fractions(-1000, 1000, max_denominator=40) | st.integers(-(10**9), 10**9).map(Fraction)


def judge(reference: str, text: str, options: dict | None = None, **spec: object) -> Judgement:
    problem = Problem(id="x", prompt="?", answer=reference, spec=dict(spec))
    return Verifier(**(options or {})).verify(problem, Completion(text=text))


def outcome(reference: str, answer: str, **spec: object) -> Outcome:
    return judge(reference, f"\\boxed{{{answer}}}", **spec).outcome


def spellings(value: Fraction) -> list[str]:
    """A value as different people write it."""
    found = [f"{value.numerator}/{value.denominator}", spell(value)]
    found.append(f"\\frac{{{value.numerator}}}{{{value.denominator}}}")
    if value.denominator == 1:
        n = value.numerator
        found += [str(n), f"{n:,}", f"{n}.0", f"{n:+}", f"{n:,}".replace(",", "\\,")]
        found += [f"{n} \\times 10^0", f"{n}e0", f"{n}\u00d710\u2070", f"{n * 1000}e-3"]
        found += [f"{n * 100}*10^{{-2}}", f"{n}00 x 10**-2" if n else "0", f"x_1 = {n}"]
    return found


@settings(deadline=None, max_examples=400, derandomize=True)
@given(values, units, st.data())
def test_one_quantity_is_accepted_in_every_spelling(value, unit, data):
    kind, name, size = unit
    other, other_size = data.draw(st.sampled_from([(n, s) for k, n, s in UNITS if k == kind]))
    reference = f"{data.draw(st.sampled_from(spellings(value)))} {name}"
    answer = f"{data.draw(st.sampled_from(spellings(value * size / other_size)))} {other}"
    assert outcome(reference, answer) is Outcome.CORRECT


@settings(deadline=None, max_examples=600, derandomize=True)
@given(values, values, units, units, st.data())
def test_another_quantity_never_is(a, b, unit, other, data):
    (kind, name, size), (other_kind, other_name, other_size) = unit, other
    reference = f"{data.draw(st.sampled_from(spellings(a)))} {name}"
    answer = f"{data.draw(st.sampled_from(spellings(b)))} {other_name}"
    equal = kind == other_kind and a * size == b * other_size
    assert (outcome(reference, answer) is Outcome.CORRECT) == equal


@settings(deadline=None, max_examples=400, derandomize=True)
@given(values, st.integers(0, 400), st.integers(-2000, 2000), units)
def test_a_tolerance_is_met_to_the_last_digit(value, tolerance, off, unit):
    relative = Fraction(tolerance, 1000)
    answer = value + value * Fraction(off, 1000)
    fine = abs(answer - value) <= relative * abs(value)
    given_ = outcome(
        f"{spell(value)} {unit[1]}", f"{spell(answer)} {unit[1]}", tolerance=tolerance / 1000
    )
    assert (given_ is Outcome.CORRECT) == fine


@settings(deadline=None, max_examples=300, derandomize=True)
@given(values, st.integers(1, 12), values)
def test_significant_figures_allow_half_a_unit_in_the_last(value, figures, answer):
    assume(value)
    last = Fraction(10) ** (
        math.floor(math.log10(abs(value) * (1 + Fraction(1, 10**12)))) - figures + 1
    )
    assume(abs(abs(answer - value) - last / 2) > last / 1000)
    fine = abs(answer - value) < last / 2
    given_ = outcome(spell(value), spell(answer), significant_figures=figures)
    assert (given_ is Outcome.CORRECT) == fine


@settings(deadline=None, max_examples=800, derandomize=True)
@given(
    st.text(
        alphabet="0123456789+-*/^(){}[]\\,.=<>|!_%~ $xeEm\u00b2\u00d7\u2212\u221a\u2009",
        max_size=40,
    )
)
def test_no_text_is_accepted_for_a_number_it_does_not_spell(text):
    wanted = "271828"
    if outcome(wanted, text) is Outcome.CORRECT:
        assert wanted in "".join(c for c in text if c.isdigit())


@settings(deadline=None, max_examples=800, derandomize=True)
@given(st.text(max_size=80) | st.text(alphabet="5 m^{}()/\\text\u00b0C%\u2009", max_size=30))
def test_any_text_is_judged_and_can_be_a_reference_or_not(text):
    assert judge("5 m", text).outcome is not Outcome.ERROR
    problem = Problem(id="x", prompt="?", answer=text)
    try:
        reference = Verifier().reference(problem)
    except ValueError:
        assert judge(text, "\\boxed{5}").detail.startswith("the problem: ")
    else:
        verdict = judge(text, reference)
        assert verdict.outcome is not Outcome.ERROR


@settings(deadline=None, max_examples=300, derandomize=True)
@given(st.fractions())
def test_spelled_values_are_exact(value):
    assert _numeric_text.read(spell(value)).value == value if len(spell(value)) < 200 else True


@settings(deadline=None, max_examples=300, derandomize=True)
@given(st.fractions().filter(bool))
def test_magnitude_is_the_place_of_the_first_digit(value):
    assert Fraction(10) ** magnitude(value) <= abs(value) < Fraction(10) ** (magnitude(value) + 1)


def test_pint_never_reads_a_text(monkeypatch):
    def fail(*_: object, **__: object) -> None:
        raise AssertionError("pint was given a text to read")

    Verifier()
    for name in ("parse_expression", "parse_units", "parse_pattern"):
        monkeypatch.setattr(pint.UnitRegistry, name, fail)
    assert outcome("9.81 m/s^2", "981 cm s^{-2}") is Outcome.CORRECT
    assert outcome("25 \u00b0C", "298.15 K") is Outcome.CORRECT
    assert outcome("1 m", "1 __import__('os').system('true')") is Outcome.UNPARSABLE
    assert outcome("1 m", "1 m**10**10**10") is Outcome.UNPARSABLE


def every_spelling() -> list[tuple[str, str]]:
    found = []
    for table, prefixed in ((_numeric_units._SI, True), (_numeric_units._OTHER, False)):
        for named, symbols, names in _numeric_units._rows(table):
            for short, long in (("", ""), *(_numeric_units._PREFIXES if prefixed else ())):
                found += [(short + symbol, long + named.pint_name) for symbol in symbols]
                found += [(long + name, long + named.pint_name) for name in names]
    return found


def test_every_spelling_means_one_unit_and_pint_knows_it():
    meanings: dict[str, str] = {}
    for spelling, meaning in every_spelling():
        assert meanings.setdefault(spelling, meaning) == meaning, spelling
    registry = _numeric_units._registry()
    for spelling, meaning in meanings.items():
        unit = parse(spelling)
        assert unit.powers == ((meaning, 1),), spelling
        registry.get_dimensionality(registry.UnitsContainer({meaning: 1}))
        assert convert(Fraction(3), unit, unit, False) == 3


def test_names_that_differ_in_case_or_prefix_differ_in_size():
    five = Fraction(5)
    for one, other in (("mm", "Mm"), ("mW", "MW"), ("mPa", "MPa"), ("g", "kg"), ("cal", "Cal")):
        assert convert(five, parse(one), parse(other), False) != five
    for one, other in (("m", "M"), ("s", "S"), ("h", "H"), ("T", "t"), ("min", "m")):
        assert convert(five, parse(one), parse(other), False) is None


@pytest.mark.parametrize(
    ("text", "powers"),
    [
        ("kg m / s^2", {"kilogram": 1, "meter": 1, "second": -2}),
        ("kg\u00b7m\u00b7s-2", {"kilogram": 1, "meter": 1, "second": -2}),
        ("square kilometers per hour", {"kilometer": 2, "hour": -1}),
        ("meters per second squared", {"meter": 1, "second": -2}),
        ("1/s", None),
        ("/s", {"second": -1}),
        ("J/(mol K)", {"joule": 1, "kelvin": -1, "mole": -1}),
        ("J/mol K", None),
        ("J/mol/K", {"joule": 1, "kelvin": -1, "mole": -1}),
        ("m/m", {}),
        ("ft-lbf", {"foot": 1, "force_pound": 1}),
        ("m^10", None),
        ("m^2.5", None),
        ("square", None),
        ("m squared squared", None),
        ("square m^2", None),
        ("((m))", None),
        ("m m m m m m m m m m m m m", None),
        ("", None),
    ],
)
def test_units_are_read_or_refused(text, powers):
    if powers is None:
        with pytest.raises(ValueError, match=r"not a unit|no unit|two powers|ambiguous|more than"):
            parse(text)
    else:
        assert parse(text).powers == tuple(sorted(powers.items()))


def test_what_shares_a_dimension_is_not_always_one_thing():
    def same(one: str, other: str) -> bool:
        return convert(Fraction(1), parse(one), parse(other), False) is not None

    assert same("Hz", "/s")
    assert same("N m", "J")
    assert same("Gy", "J/kg")
    assert same("rpm", "deg/s")
    for one, other in (("Hz", "Bq"), ("Hz", "rad/s"), ("Gy", "Sv"), ("lm", "cd"), ("bit", "rad")):
        assert not same(one, other)
    assert convert(Fraction(1), parse("rad"), PLAIN, False) is None
    assert convert(Fraction(5), parse("%"), PLAIN, False) == Fraction(1, 20)


def test_a_degree_is_a_point_on_its_scale_or_a_step():
    celsius, kelvin, fahrenheit = parse("\u00b0C"), parse("K"), parse("\u00b0F")
    assert convert(Fraction(25), celsius, kelvin, False) == Fraction("298.15")
    assert convert(Fraction(25), celsius, kelvin, True) == 25
    assert convert(Fraction(212), fahrenheit, celsius, False) == 100
    assert convert(Fraction(18), fahrenheit, celsius, True) == 10
    assert convert(Fraction(1), parse("J/\u00b0C"), parse("J/K"), False) == 1
    assert convert(Fraction(1), parse("\u00b0C^2"), parse("K^2"), False) == 1
    assert Unit((("degree_Celsius", 1),)).is_scale
    assert not parse("J/\u00b0C").is_scale


def test_a_tolerance_of_the_options_leaves_integers_and_declared_problems_alone():
    options = {"rel_tol": 0.1, "abs_tol": 0.0}

    def near(reference: str, **spec: object) -> bool:
        text = f"\\boxed{{{spell(_numeric_text.read(reference).value * Fraction('1.05'))} m}}"
        return judge(f"{reference} m", text, options, **spec).outcome is Outcome.CORRECT

    assert near("2.0")
    assert near("2e0")
    assert near("1/3")
    assert not near("2")
    assert not near("2,000")
    assert near("2", tolerance=0.1)
    assert not near("2.0", tolerance=0.01)
    assert not near("2.0", tolerance=0)
    assert not near("2.0", significant_figures=4)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"tolerance": "1%"}, "spec.tolerance must be a number, got '1%'"),
        ({"tolerance": -1}, "spec.tolerance must be finite and at least 0, got -1"),
        ({"tolerance": float("nan")}, "spec.tolerance must be finite and at least 0, got nan"),
        ({"tolerance": 0.6}, "spec.tolerance must be at most 0.5, got 0.6"),
        ({"tolerance": {"relative": 1}}, "spec.tolerance has no 'relative'; choices: rel, abs"),
        ({"significant_figures": 99}, "spec.significant_figures must be in 1 to 15, got 99"),
        ({"unit": "furlong"}, "spec.unit is not a unit: 'furlong'"),
        ({"difference": 1}, "spec.difference must be true or false, got 1"),
        ({"tolerance": 0.1, "significant_figures": 2}, "not both"),
    ],
)
def test_a_broken_problem_names_the_rule_and_the_value(spec, words):
    problem = Problem(id="x", prompt="?", answer="5.0", spec=spec)
    verdict = Verifier().verify(problem, Completion(text="\\boxed{5.0}"))
    assert verdict.outcome is Outcome.ERROR
    assert words in verdict.detail
    with pytest.raises(ValueError, match=re.escape(words)):
        Verifier().reference(problem)


@pytest.mark.parametrize("options", [{"rel_tol": -1}, {"rel_tol": 0.9}, {"abs_tol": float("inf")}])
def test_bad_options_are_refused(options):
    with pytest.raises(PluginError, match=next(iter(options))):
        plugins.build("verifier", "numeric", options)
