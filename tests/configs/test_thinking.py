"""The reasoning stands in one place, and no turn holds a null."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factory.configs.thinking import REASONING_CONTENT, THINKING
from factory.shards import DEFAULT
from factory.traces import Group, TraceOptions, select
from tests.configs.conftest import EVERY, ORIGIN, PROBLEM, RIGHT, WRONG, judged

FORMS = [REASONING_CONTENT, THINKING]


def rows(config, selection):
    return list(config.rows(selection, ORIGIN, TraceOptions()))


@pytest.mark.parametrize("config", FORMS, ids=lambda c: c.name)
def test_the_reasoning_has_a_field_of_its_own(selection, config):
    made = selection(("<think>\nsum\n</think>\n\n4", RIGHT), ("<think>x</think>5", WRONG))
    (row,) = rows(config, made)
    assert row["messages"] == [
        {"role": "system", "content": "Think.", config.name: ""},
        {"role": "user", "content": "2 + 2? Box it.", config.name: ""},
        {"role": "assistant", "content": "4", config.name: "sum"},
    ]
    (inline,) = DEFAULT.rows(made, ORIGIN, EVERY)
    assert {**inline, "messages": 0} == {**row, "messages": 0}
    assert config.schema.names == DEFAULT.schema.names


@pytest.mark.parametrize("config", FORMS, ids=lambda c: c.name)
def test_a_trace_that_does_not_think_is_left_out(selection, config):
    made = selection(("4", RIGHT), ("<think> </think>4.", RIGHT), ("4!", RIGHT, {"reasoning": ""}))
    assert len(made.kept) == 3
    assert rows(config, made) == []


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.text("<think/> \na"), st.none() | st.text("<think/> \na")), max_size=4)
)
def test_never_in_two_places_never_null(drawn):
    pairs = [judged(i, text, RIGHT, reasoning=more) for i, (text, more) in enumerate(drawn)]
    made = select(Group(problem=PROBLEM, judged=pairs), EVERY)
    for config in FORMS:
        for row in rows(config, made):
            assert all(value is not None for turn in row["messages"] for value in turn.values())
            *_, last = row["messages"]
            assert "think>" not in last["content"]
            assert last[config.name].strip()
