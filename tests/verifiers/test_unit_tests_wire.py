"""What passes between tests and module: the wire, and the tests' end of it."""

from __future__ import annotations

import collections
import copy
import datetime
import decimal
import fractions
import json
import os
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from verifiers import _unit_tests_host
from verifiers import _unit_tests_wire as wire

# --- the wire ------------------------------------------------------------------------------------


class Nobody:
    """An owner of nothing."""

    def refer(self, value: Any) -> dict[str, Any]:
        raise wire.Unsendable(type(value).__name__)

    def resolve(self, reference: dict[str, Any]) -> Any:
        raise wire.Broken("nothing")


class Pair:
    """Two sides, and what one sends the other receives, by way of JSON."""

    def __init__(self) -> None:
        self.here, self.there = wire.Heap(Nobody(), 0), wire.Heap(Nobody(), 1)

    def send(self, *values: Any) -> list[Any]:
        return self.there.unpack(json.loads(json.dumps(self.here.pack({}, *values))))

    def answer(self, *values: Any) -> list[Any]:
        return self.here.unpack(json.loads(json.dumps(self.there.pack({}, *values))))


atoms = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=5)
    | st.text(alphabet="\ud800\udfffa\0", max_size=3)
    | st.binary(max_size=5)
    | st.complex_numbers(allow_nan=False)
    | st.decimals(allow_nan=False)
    | st.fractions()
    | st.dates()
    | st.datetimes()
    | st.times()
    | st.timedeltas()
    | st.builds(range, st.integers(-9, 9), st.integers(), st.integers(1, 9))
    | st.builds(bytearray, st.binary(max_size=5))
    | st.sampled_from([int, ValueError, dict, collections.Counter, NotImplemented, ...])
)
hashable = st.integers() | st.text(max_size=3) | st.tuples(st.integers(), st.text(max_size=2))
values = st.recursive(
    atoms,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(hashable, inner, max_size=3)
        | st.sets(hashable, max_size=3)
        | st.frozensets(hashable, max_size=3)
        | st.lists(inner, max_size=3).map(lambda items: collections.deque(items, 5))
        | st.dictionaries(hashable, inner, max_size=3).map(collections.OrderedDict)
        | st.dictionaries(hashable, inner, max_size=2).map(
            lambda pairs: collections.defaultdict(list, pairs)
        )
        | st.lists(hashable, max_size=4).map(collections.Counter)
    ),
    max_leaves=12,
)


def same(one: Any, other: Any) -> bool:
    """Equal, and of the same types all the way down."""
    if type(one) is not type(other) or (repr(one) != repr(other) and one != other):
        return False
    if isinstance(one, (list, tuple, collections.deque)):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return list(map(repr, one)) == list(map(repr, other)) and all(
            same(a, b) for a, b in zip(one.values(), other.values(), strict=True)
        )
    return bool(one == other)


@settings(max_examples=400, deadline=None, derandomize=True)
@given(values)
def test_values_arrive_as_they_were(value):
    assert same(Pair().send(value)[0], value)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.lists(values, max_size=3), values)
def test_changes_on_either_side_reach_the_other(first, second):
    pair, mine = Pair(), [first, {"k": 1}]
    (theirs,) = pair.send(mine)
    theirs[0].append(second)
    theirs[1].clear()
    assert pair.answer(theirs)[0] is mine
    assert same(mine, theirs)
    mine.insert(0, [second])
    mine[1].clear()
    assert pair.send(mine)[0] is theirs
    assert same(theirs, mine)


def test_one_object_stays_one_object():
    pair, shared = Pair(), [1]
    mine = {"a": shared, "b": shared, "loop": []}
    mine["loop"].append(mine)
    (theirs,) = pair.send(mine)
    assert theirs["a"] is theirs["b"]
    assert theirs["loop"][0] is theirs
    (copied,) = pair.answer([1])
    assert copied is not shared


def test_what_nobody_holds_is_forgotten():
    pair, kept = Pair(), [[1], [2]]
    pair.send(kept, [3])
    dropped = pair.here.forget_unused()
    assert len(dropped) == 1
    pair.there.forget(dropped)
    kept.pop()
    assert len(pair.here.forget_unused()) == 1
    assert pair.here.forget_unused() == []


def test_what_cannot_be_sent_changes_nothing():
    pair, items = Pair(), [1]
    pair.send(items)
    for bad in (object(), [object()], lambda: None, type("Own", (int,), {})(3)):
        items.append(2)
        with pytest.raises(wire.Unsendable):
            pair.here.pack({}, items, bad)
    (theirs,) = pair.send(items)
    assert theirs == items
    deep: Any = ()
    for _ in range(200):
        deep = (deep,)
    with pytest.raises(wire.Unsendable, match="too deeply"):
        pair.here.pack({}, deep)


junk = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 300) | st.floats() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from([*"hinftbzrdqouck", "date", "delta", "time", "datetime", "x"]),
            inner,
            max_size=2,
        )
    ),
    max_leaves=15,
)
kinds = st.sampled_from(["list", "set", "dict", "ddict", "deque", "bytearray", "counter", "x"])


@settings(max_examples=500, deadline=None, derandomize=True)
@given(st.lists(st.tuples(junk, kinds, junk).map(list) | junk, max_size=3), st.lists(junk))
def test_any_message_is_read_or_refused(heap, found):
    receiver = Pair().here
    try:
        receiver.unpack({"heap": heap, "values": found})
    except wire.Broken:
        return
    receiver.pack({}, [1])


# --- the tests' end ------------------------------------------------------------------------------


@pytest.fixture
def ends() -> Iterator[tuple[_unit_tests_host.Host, Any]]:
    """A host that waits a second, and a function that says something to it."""
    ours, theirs = socket.socketpair()
    host = _unit_tests_host.Host(os.dup(ours.fileno()), "test_answer")
    host.allow(1)

    def say(message: Any) -> None:
        body = message if isinstance(message, bytes) else json.dumps(message).encode()
        theirs.sendall(len(body).to_bytes(4, "big") + body)

    yield host, say
    ours.close()
    theirs.close()


def message(operation: str, *found: Any, **more: Any) -> dict[str, Any]:
    return {"op": operation, "values": found, "heap": [], "classes": [], "printed": "", **more}


CLASS = [7, "Odd", ["object"], ["__eq__", "__lt__", "__gt__", "__len__", "__contains__", "__sub__"]]


def test_an_answer_is_what_was_said(ends):
    host, say = ends
    say(message("ok", {"t": [1, "a"]}))
    assert host.ask("global", "x") == (1, "a")
    assert not host.fault


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"[]",
        b"{",
        b"[" * 100_000,
        b'{"op": NaN}',
        {},
        message("ok"),
        message("ok", 1, 2),
        message("done", 1),
        message("ok", {"o": 1, "k": 1}),
        message("ok", {"c": 5}),
        message("ok", {"c": -1}),
        message("ok", {"n": "eval"}),
        message("ok", {"u": "builtins.eval"}),
        message("ok", {"h": 3}),
        message("ok", 1, printed=3),
        message("ok", 1, classes=[[1]]),
        message("ok", 1, classes=[CLASS, CLASS]),
        message("ok", 1, classes=[[1, "x" * 300, [], []]]),
        message("ok", 1, classes=[[1, "x", [[]], []]]),
        message("ok", 1, heap=[[0, "list", 5]]),
        message("ok", 1, heap=[[1, "set", [{"h": 1}]]]),
        message("call", {"t": []}, {}, number=0),
        message("call", 1, 2, number=0),
        message("call", {"t": []}, {"h": 1}, number="0", heap=[[1, "dict", []]]),
        message("raised", 1, 2, 3, 4),
        message("raised", {"n": "ValueError"}, {"t": []}, 5, None),
        message("raised", {"n": "int"}, {"t": []}, "", {"h": 1}, heap=[[1, "dict", []]]),
        message("raised", {"n": "KeyboardInterrupt"}, {"t": []}, "", None),
    ],
)
def test_what_cannot_be_read_is_a_fault_of_the_test_at_hand(ends, said):
    host, say = ends
    say(said)
    with pytest.raises(_unit_tests_host.Refused):
        host.ask("global", "x")
    assert host.fault


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.dictionaries(st.sampled_from(["op", "values", "heap", "classes", "printed"]), junk))
def test_no_message_raises_anything_of_ours(said):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        host = _unit_tests_host.Host(os.dup(ours.fileno()), "test_answer")
        host.allow(1)
        body = json.dumps({**message("ok", 1), **said}).encode()
        theirs.sendall(len(body).to_bytes(4, "big") + body)
        theirs.close()
        try:
            host.ask("global", "x")
        except _unit_tests_host.Refused:
            assert host.fault


def test_silence_and_a_hang_up_are_faults(ends):
    host, _ = ends
    host.allow(0.05)
    with pytest.raises(_unit_tests_host.Refused, match="no answer in time"):
        host.ask("global", "x")
    with pytest.raises(_unit_tests_host.Refused, match="no answer in time"):
        host.ask("global", "x")
    assert host.gone


@pytest.mark.parametrize(
    "use",
    [
        lambda odd: odd == 1,
        lambda odd: 1 == odd,  # noqa: SIM300
        lambda odd: odd != 1,
        lambda odd: odd in [1],
        lambda odd: [odd] == [1],
        lambda odd: {"a": odd} == {"a": 1},
        lambda odd: odd < 1,
        lambda odd: 1 > odd,  # noqa: SIM300
        lambda odd: sorted([odd, 1]),
        lambda odd: {odd},
        lambda odd: odd == pytest.approx(1),
        lambda odd: odd.startswith("a"),
        lambda odd: copy.copy(odd),
        lambda odd: copy.deepcopy(odd),
        lambda odd: type("Sub", (type(odd),), {}),
    ],
)
def test_an_instance_over_there_decides_nothing(ends, use):
    host, say = ends
    say(message("ok", {"o": 1, "k": 7}, classes=[CLASS]))
    odd = host.ask("global", "odd")
    with pytest.raises(_unit_tests_host.Refused):
        use(odd)
    assert host.fault


def test_what_is_known_here_is_not_asked(ends):
    host, say = ends
    say(message("ok", {"o": 1, "k": 7}, classes=[CLASS]))
    odd = host.ask("global", "odd")
    say(message("ok", {"o": 1, "k": 7}))
    assert host.ask("global", "odd") is odd
    assert odd == odd
    assert odd != None  # noqa: E711
    assert not isinstance(odd, int)
    assert type(odd).__name__ == "Odd"
    assert not host.fault


@pytest.mark.parametrize(("answers", "holds"), [((True, False), True), ((False,), False)])
def test_membership_is_asked_twice(ends, answers, holds):
    host, say = ends
    say(message("ok", {"o": 1, "k": 7}, classes=[CLASS]))
    odd = host.ask("global", "odd")
    for answer in answers:
        say(message("ok", answer))
    assert ("abc" in odd) is holds
    say(message("ok", True))
    say(message("ok", True))
    with pytest.raises(_unit_tests_host.Refused, match="whatever it is asked for"):
        assert 3 in odd


def test_arithmetic_gives_instances_alone(ends):
    host, say = ends
    say(message("ok", {"o": 1, "k": 7}, classes=[CLASS]))
    odd = host.ask("global", "odd")
    say(message("ok", {"o": 2, "k": 7}))
    assert type(odd - 1) is type(odd)
    say(message("ok", 0.0))
    with pytest.raises(_unit_tests_host.Refused, match="arithmetic"):
        odd - 1


def test_modules_of_the_other_side_are_not_what_they_say():
    """Names that only look alike do not meet."""
    assert wire.known_name(int) == "int"
    assert wire.known_name(type("int", (), {})) is None
    assert wire.known_name(KeyboardInterrupt) is None
    assert wire.known_name(eval) is None
    for kind in (decimal.Decimal, fractions.Fraction, datetime.date):
        assert wire.known_name(kind)
