"""JSON answers: strict reading, equality as JSON, schemas that mean what they say."""

import json
import socket
import urllib.request
from fractions import Fraction
from typing import Any

import jsonschema
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from factory.types import Completion, Judgement, Outcome, Problem
from verifiers import _json_schema, _json_text
from verifiers._json_formats import FORMATS
from verifiers.json_schema import Verifier

leaves = (
    st.none()
    | st.booleans()
    | st.integers(-(10**12), 10**12)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=6)
)
values = st.recursive(
    leaves, lambda v: st.lists(v, max_size=4) | st.dictionaries(st.text(max_size=4), v, max_size=4)
)
ANYTHING = {"type": ["object", "array", "string", "number", "boolean", "null"]}


def judge(reference: Any, text: str, schema: Any = None, **spec: Any) -> Judgement:
    spec = {"schema": schema or ANYTHING, **spec}
    problem = Problem(id="x", prompt="?", answer=json.dumps(reference), spec=spec)
    return Verifier().verify(problem, Completion(text=text))


def fenced(value: Any) -> str:
    return f"```json\n{json.dumps(value)}\n```"


def same(a: Any, b: Any) -> bool:
    """Equality as JSON, worked out the long way."""
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if isinstance(a, int | float) and isinstance(b, int | float):
        return Fraction(str(a)) == Fraction(str(b))
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    return type(a) is type(b) and a == b


@settings(deadline=None, max_examples=300, derandomize=True)
@given(values, values)
def test_only_an_equal_value_is_accepted_where_all_of_it_must_be(a, b):
    assert judge(a, fenced(a), pointers=[""]).outcome is Outcome.CORRECT
    accepted = judge(a, fenced(b), pointers=[""]).outcome is Outcome.CORRECT
    assert accepted == same(a, b)


@settings(deadline=None, max_examples=200, derandomize=True)
@given(values, values, values)
def test_pointers_look_at_their_place_alone(a, b, other):
    reference = {"x": [0, {"a/b~": a}], "y": other}
    answer = {"y": b, "x": [None, {"a/b~": b}]}
    accepted = judge(reference, fenced(answer), pointers=["/x/1/a~1b~0"]).outcome
    assert (accepted is Outcome.CORRECT) == same(a, b)


@settings(deadline=None, max_examples=200, derandomize=True)
@given(values)
def test_strict_reading_keeps_what_json_keeps(value):
    for text in (json.dumps(value), json.dumps(value, ensure_ascii=False, indent=2)):
        assert same(_json_text.parse(text), value)


@settings(deadline=None, max_examples=500, derandomize=True)
@given(st.text(max_size=40) | st.text(alphabet='[]{}",:0123456789.eE+-\\untrfals \n`', max_size=40))
def test_any_text_is_judged(text):
    assert judge({"a": 1}, text, pointers=["/a"]).outcome is not Outcome.ERROR
    assert judge({"a": 1}, f"```json\n{text}\n```", pointers=["/a"]).outcome is not Outcome.ERROR


REFUSED = [
    *("NaN", "-Infinity", "1e999", "-1e400", "01", "+1", ".5", "1.", "0x1", "1_0", "'a'", '"\t"'),
    *("[1,]", '{"a":1,}', "{a:1}", '{"a":1,"a":1}', '{"a":{"b":1,"b":2}}', "[1] [2]", "[1]]"),
    *('"\\ud800"', '{"\\udfff":1}', '"\\x41"', "", " ", "//", "\ufeff1", "1\u00a0", "tru"),
    *("[" * 33 + "]" * 33, "[" + "1," * 10_000 + "1]", '"' + "x" * 100_001 + '"', "9" * 301),
    *("0." + "1" * 400, "1.0000000000000000000000001", "0.1000000000000000055511", "1e-400"),
]


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_no_strict_json_is_refused(text):
    with pytest.raises(ValueError, match=r"."):
        _json_text.parse(text)


@pytest.mark.parametrize(
    ("text", "value"), [("1E2", 100.0), ("-0", 0), ("-0.0", 0), ("1e-7", 1e-7), ("0.10", 0.1)]
)
def test_what_is_strict_json_is_read(text, value):
    assert _json_text.parse(text) == value
    assert _json_text.parse("[" * 32 + "]" * 32)


@pytest.mark.parametrize("quotes", ['"', '\\"', '"\\', '"a\\"', "[", '{"', "\\"])
def test_reading_is_linear(quotes):
    """A quadratic pass over this would not end within the test's time limit."""
    with pytest.raises(ValueError, match=r"."):
        _json_text.parse((quotes * 100_000)[: _json_text.MAX_TEXT])


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("date", ["2024-02-29"], ["2023-02-29", "2024-2-9", "2024-02-29\n", "\u0662024-02-29", ""]),
        ("time", ["10:20:30Z", "23:59:59.5+01:00"], ["10:20Z", "24:00:00Z", "10:20:30+25:00"]),
        ("date-time", ["2024-02-29T10:20:30Z"], ["2024-02-29 10:20:30Z", "2023-02-29T10:20:30Z"]),
        ("email", ["a.b+c@d-e.org"], ["a@b", "a b@c.org", ".a@c.org", "a@-c.org", "a@c.org\n"]),
        ("hostname", ["a-b.example"], ["-a.example", "a..b", "a_b", "x" * 64, ""]),
        ("ipv4", ["10.0.0.1"], ["10.0.0.256", "10.0.0", "010.0.0.1", "10.0.0.1 ", "\u0661.0.0.1"]),
        ("ipv6", ["::1", "2001:db8::8a2e:370:7334"], ["::1%eth0", ":::", "12345::", "1::2::3"]),
        ("uri", ["https://a.example/b?c=%20#d", "urn:x"], ["a.example", "http://a b", "x:%zz"]),
        ("uuid", ["123E4567-e89b-12d3-a456-426614174000"], ["123e4567", "{123e4567}"]),
    ],
)  # fmt: skip
def test_formats_are_checked(name, good, bad):
    checker = _json_schema.validator({"type": "string", "format": name})
    assert not [text for text in good if _json_schema.fault(checker, text)]
    assert not [text for text in bad if not _json_schema.fault(checker, text)]


def test_every_format_is_tested():
    params = test_formats_are_checked.pytestmark[0].args[1]  # type: ignore[attr-defined]
    assert {row[0] for row in params} == set(FORMATS)


@settings(deadline=None, max_examples=300, derandomize=True)
@given(values, st.data())
def test_our_keywords_agree_with_the_library_where_it_is_right(value, data):
    """On what has no line feed, no digit of another script and no long fraction."""
    assume(not isinstance(value, float) or abs(value) < 2**53)
    schemas: list[dict[str, Any]] = [
        {"const": data.draw(values)},
        {"enum": data.draw(st.lists(values, min_size=1, max_size=3))},
        {"uniqueItems": True},
        {"multipleOf": data.draw(st.integers(1, 7))},
        {"properties": {"a": True}, "additionalProperties": {"type": "integer"}},
        {"additionalProperties": False},
    ]
    for schema in schemas:
        theirs = jsonschema.Draft202012Validator(schema).is_valid(value)
        assert (not _json_schema.fault(_json_schema.validator(schema), value)) == theirs, schema


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        ({"multipleOf": 0.01}, [19.99, 4.35, 0.07], [19.995]),
        ({"pattern": "^a$"}, ["a"], ["a\n"]),
        ({"pattern": "^\\d+$"}, ["12"], ["\u0661", "12\n"]),
        ({"patternProperties": {"^a$": False}}, [{"a\n": 1}], [{"a": 1}]),
        ({"patternProperties": {"^a$": {}}, "additionalProperties": False}, [{}], [{"a\n": 1}]),
        ({"enum": [1, "1"]}, [1, 1.0, "1"], [True, "01"]),
        ({"const": [0, {"a": False}]}, [[0.0, {"a": False}]], [[False, {"a": 0}]]),
        ({"uniqueItems": True}, [[1, True, "1"]], [[1, 1.0], [{"a": 1}, {"a": 1.0}]]),
        ({"type": "integer"}, [1, 1.0, -0.0], [True, 1.5, "1"]),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"const": 1}}}, [1], [2]),
        ({"$ref": "#x", "$defs": {"a": {"$anchor": "x", "const": 1}}}, [1], [2]),
        ({"if": {"const": 1}, "then": False, "else": {"type": "integer"}}, [2], [1, "2"]),
    ],
)  # fmt: skip
def test_keywords_mean_what_the_standard_says(schema, good, bad):
    checker = _json_schema.validator(schema)
    assert not [value for value in good if _json_schema.fault(checker, value)]
    assert not [value for value in bad if not _json_schema.fault(checker, value)]


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        (5, "spec.schema must be an object, got 5"),
        ({"type": "nope"}, "spec.schema is no schema"),
        ({"requred": []}, "the keyword 'requred' is not known to"),
        ({"properties": {"a": {"contentEncoding": "base64"}}}, "'contentEncoding' is not known"),
        ({"format": "iri"}, "format 'iri' is not checked; choices: date, date-time, email"),
        ({"$ref": "https://example.com/x"}, "$ref 'https://example.com/x' is not in the schema"),
        ({"items": {"$ref": "#/$defs/x"}}, "$ref '#/$defs/x' is not in the schema"),
        ({"$schema": "https://example.com/d"}, "is not known; choices: https://json-schema.org"),
        ({"items": {"$id": "https://example.com/d"}}, "may stand at its root alone"),
        ({"pattern": "(?<a>b)"}, "format fails at '/pattern'"),
        ({"pattern": "a" * 2001}, "longer than 2000 characters"),
        ({"patternProperties": {"a{e}": True}}, "is no repetition"),
        ({"$ref": "#"}, "refers to itself without end"),
        ({}, "spec.schema accepts null: it asks for nothing"),
        ({"minLength": 1}, "accepts null: it asks for nothing"),
        ({"type": "array", "uniqueItems": True}, "accepts []: it asks for nothing"),
    ],
)
def test_a_schema_that_would_be_passed_over_is_refused(schema, words):
    problem = Problem(id="x", prompt="?", answer='["a"]', spec={"schema": schema})
    judgement = Verifier().verify(problem, Completion(text=fenced(["a"])))
    assert judgement.outcome is Outcome.ERROR
    assert words in judgement.detail


def test_nothing_is_fetched(monkeypatch):
    def fail(*_: object, **__: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket, "socket", fail)
    monkeypatch.setattr(urllib.request, "urlopen", fail)
    for schema in (
        {"$ref": "http://127.0.0.1:9/x"},
        {"$schema": "https://json-schema.org/draft/2020-12/schema", "$ref": "other.json"},
        {"$id": "http://127.0.0.1:9/root", "$ref": "sub"},
        {"$dynamicRef": "http://127.0.0.1:9/x#y"},
    ):
        assert judge(1, "1", schema, pointers=[""]).outcome is Outcome.ERROR


def test_a_schema_without_end_is_the_problems_fault_even_where_one_answer_finds_it():
    schema = {"anyOf": [{"const": 1}, {"$ref": "#"}]}
    assert judge(1, "1", schema, pointers=[""]).outcome is Outcome.CORRECT
    judgement = judge(1, "2", schema, pointers=[""])
    assert judgement.outcome is Outcome.ERROR
    assert judgement.detail.startswith("the problem: ")


def test_deep_answers_under_a_recursive_schema_are_judged():
    schema = {"type": ["array", "integer"], "items": {"anyOf": [{"$ref": "#"}]}}
    text = "[" * 31 + "1" + "]" * 31
    assert judge(json.loads(text), text, schema, pointers=[""]).outcome is Outcome.CORRECT


@pytest.mark.parametrize(
    "value", [1, 0, 0.5, "a", "", None, True, [], [1, 2], {"a": {"b": 1}}, -1e9]
)
def test_perturbations_of_any_value_are_wrong_and_many(value):
    problem = Problem(
        id="x", prompt="?", answer=json.dumps(value), spec={"schema": ANYTHING, "pointers": [""]}
    )
    verifier = Verifier()
    assert (
        verifier.verify(problem, Completion(text=verifier.reference(problem))).outcome == "correct"
    )
    texts = list(dict.fromkeys(verifier.perturb(problem)))
    assert len(texts) >= 20
    for text in texts:
        assert verifier.verify(problem, Completion(text=text)).outcome != "correct", text


def test_numbers_that_differ_past_a_double_are_told_apart():
    big = 2**53 + 1
    assert judge(big, str(float(big)), pointers=[""]).outcome is Outcome.INCORRECT
    assert judge(big, str(big), pointers=[""]).outcome is Outcome.CORRECT
    assert judge(0.3, "0.30000000000000001", pointers=[""]).outcome is Outcome.UNPARSABLE
