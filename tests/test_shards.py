import hashlib
import json
import tempfile
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factory.curation.parquet import Portion, ShardWriter, lean, row_bytes, to_batch
from factory.shards import ALL, DEFAULT, Origin, reply_text, to_row
from factory.traces import unjudged
from factory.types import Completion, Outcome, Problem, Rollout, Sampling, Trace, Verdict

ORIGIN = Origin(sampling=Sampling(max_tokens=99), license="apache-2.0", run_id="r1")
RESERVED = {
    "prompt", "completion", "chosen", "rejected", "labels", "text", "input_ids", "images",
    "completion_mask", "assistant_masks", "image", "tools", "chat_template_kwargs", "conversations",
}  # fmt: skip


def make_trace(index=0, text="<think>sum</think>4", outcome=Outcome.CORRECT, **fields):
    problem = Problem(**({"id": "ab" * 8, "prompt": "2 + 2? 😀", "answer": "4"} | fields))
    completion = Completion(text=text, prompt_tokens=3, num_tokens=7)
    rollout = Rollout(problem_id=problem.id, index=index, model="m", completion=completion)
    verdict = Verdict(
        problem_id=problem.id,
        index=index,
        outcome=outcome,
        reward=1.0 if outcome is Outcome.CORRECT else None,
        extracted="4",
        detail="equal",
        verifier="math",
        verifier_version="2",
    )
    return Trace(
        problem=problem, rollout=rollout, verdict=verdict, num_generations=3, pass_rate=0.5
    )


def rows(count, size=100):
    for n in range(count):
        yield to_row(make_trace(n, f"<think>{n} {'x' * size}</think>4"), ORIGIN)


def write(root, items, config=ALL, **options):
    with ShardWriter(root, config, **options) as writer:
        items = iter(items)
        while some := list(islice(items, 37)):
            portion = Portion(config.schema)
            for row in some:
                portion.add(row)
            writer.take(portion.close())
    return writer.shards


def test_a_row_holds_all_that_is_known_of_a_trace():
    row = to_row(make_trace(metadata={"b": "é", "a": [1]}, source="f", domain="math"), ORIGIN)
    assert set(row) == set(ALL.schema.names)
    assert row["messages"] == [
        {"role": "user", "content": "2 + 2? 😀"},
        {"role": "assistant", "content": "<think>\nsum\n</think>\n\n4"},
    ]
    assert json.loads(row["sampling"])["max_tokens"] == 99
    assert row["metadata"] == '{"a": [1], "b": "é"}'
    assert (row["correct"], row["score"], row["outcome"]) == (True, 1.0, "correct")
    assert (row["num_generations"], row["pass_rate"]) == (3, 0.5)


def test_columns_bear_no_name_that_a_trainer_reserves():
    assert not RESERVED.intersection(ALL.schema.names)
    assert ALL.schema.names[: len(DEFAULT.schema)] == DEFAULT.schema.names
    assert pa.null() not in ALL.schema.types


def test_what_was_not_judged_is_neither_right_nor_wrong():
    row = to_row(make_trace(outcome=Outcome.ERROR), ORIGIN)
    assert (row["correct"], row["score"], row["outcome"]) == (None, None, "error")
    trace = make_trace(verifier="math")
    waiting = Trace(
        problem=trace.problem,
        rollout=trace.rollout,
        verdict=unjudged(trace.rollout),
        num_generations=1,
        pass_rate=None,
    )
    row = to_row(waiting, ORIGIN)
    assert (row["correct"], row["outcome"], row["verifier"]) == (None, None, "math")
    assert row["verifier_version"] is None


def test_the_published_conversation_is_the_one_the_model_was_given():
    system = {"role": "system", "content": "Think."}
    origin = Origin(
        sampling=Sampling(), ask=lambda p: [system, {"role": "user", "content": p.prompt}]
    )
    assert to_row(make_trace(), origin)["messages"][0] == system
    turns = ({"role": "user", "content": "a"}, {"role": "assistant", "content": "b"})
    turns = (*turns, {"role": "user", "content": "c"})
    assert to_row(make_trace(messages=turns), ORIGIN)["messages"][:3] == list(turns)


@pytest.mark.parametrize(
    ("completion", "text"),
    [
        (Completion(text="4"), "4"),
        (Completion(text="<think>a</think>4"), "<think>\na\n</think>\n\n4"),
        (Completion(text="\n\n4", reasoning="\na\n"), "<think>\na\n</think>\n\n4"),
        (Completion(text="4", reasoning=""), "4"),
        (Completion(text="a</think>4"), "a</think>4"),
        (Completion(text="4", reasoning="a</think>"), "a</think>4"),
    ],
)
def test_reasoning_stands_inline(completion, text):
    assert reply_text(completion) == text


@settings(deadline=None)
@given(st.text(), st.text())
def test_inline_and_separate_reasoning_give_one_form(thought, answer):
    thought = thought.replace("<", "") + "x"
    answer = answer.replace("<", "")
    inline = reply_text(Completion(text=f"<think>{thought}</think>{answer}"))
    assert inline == reply_text(Completion(text=answer, reasoning=thought))
    assert inline == f"<think>\n{thought.strip()}\n</think>\n\n{answer.lstrip()}"
    assert reply_text(Completion(text=inline)) == inline


def test_a_uuid_names_one_rollout():
    names = {
        to_row(make_trace(index, id=problem), Origin(sampling=Sampling(seed=seed)))["uuid"]
        for index in (0, 1)
        for problem in ("a" * 16, "b" * 16)
        for seed in (0, None)
    }
    assert len(names) == 8
    assert {len(name) for name in names} == {32}
    assert to_row(make_trace(), ORIGIN)["uuid"] == to_row(make_trace(text="other"), ORIGIN)["uuid"]


def test_shards_are_what_they_say(tmp_path):
    shards = write(tmp_path, rows(3000, 3000), shard_bytes=6_000_000, row_group_bytes=1_000_000)
    assert [shard.path for shard in shards] == [
        "all/train-00000.parquet",
        "all/train-00001.parquet",
    ]
    assert sorted(p.name for p in (tmp_path / "all").iterdir()) == [
        "train-00000.parquet",
        "train-00001.parquet",
    ]
    indices = []
    for shard in shards:
        path = tmp_path / shard.path
        assert path.stat().st_size == shard.num_bytes
        assert hashlib.sha256(path.read_bytes()).hexdigest() == shard.sha256
        table = pq.read_table(path)
        assert (table.num_rows, table.schema.equals(ALL.schema)) == (shard.num_rows, True)
        indices += table["generation_index"].to_pylist()
    assert indices == list(range(3000))


def test_the_parquet_settings_that_the_hub_likes(tmp_path):
    (shard,) = write(tmp_path, rows(500, 20_000), row_group_bytes=4_000_000)
    metadata = pq.ParquetFile(tmp_path / shard.path).metadata
    column = metadata.row_group(0).column(0)
    assert column.compression == "ZSTD"
    assert column.has_offset_index
    assert column.has_column_index
    assert metadata.num_row_groups == 3


def test_default_takes_its_own_columns(tmp_path):
    (shard,) = write(tmp_path, rows(2), config=DEFAULT)
    table = pq.read_table(tmp_path / shard.path)
    assert shard.path == "data/train-00000.parquet"
    assert table.schema.names == DEFAULT.schema.names


def test_equal_rows_give_equal_bytes(tmp_path):
    options = {"shard_bytes": 5_000_000, "row_group_bytes": 1_000_000}
    first = write(tmp_path / "a", rows(1500, 3000), **options)
    assert first == write(tmp_path / "b", rows(1500, 3000), **options)


def test_appended_rows_leave_the_earlier_shards_alone(tmp_path):
    options = {"shard_bytes": 4_000_000, "row_group_bytes": 1_000_000}
    first = write(tmp_path / "a", rows(3000, 3000), **options)
    longer = write(tmp_path / "b", rows(4000, 3000), **options)
    assert len(first) > 1
    assert longer[: len(first) - 1] == first[:-1]


def test_no_rows_leave_nothing_or_one_empty_shard_where_asked(tmp_path):
    assert write(tmp_path, []) == []
    assert list(tmp_path.iterdir()) == []
    (shard,) = write(tmp_path, [], even_empty=True)
    assert shard.num_rows == 0
    assert pq.read_table(tmp_path / shard.path).schema.equals(ALL.schema)


def test_a_failure_leaves_no_unfinished_shard(tmp_path):
    def failing():
        yield from rows(3000, 3000)
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        write(tmp_path, failing(), shard_bytes=5_000_000, row_group_bytes=1_000_000)
    options = {"shard_bytes": 5_000_000, "row_group_bytes": 1_000_000}
    whole = {shard.path for shard in write(tmp_path / "whole", rows(3000, 3000), **options)}
    left = {f"all/{path.name}" for path in (tmp_path / "all").iterdir()}
    assert left
    assert left <= whole


@pytest.mark.parametrize("reward", [float("nan"), float("inf"), -float("inf")])
def test_a_reward_that_is_no_number_is_published_as_none(tmp_path, reward):
    trace = make_trace()
    trace = replace(trace, verdict=replace(trace.verdict, reward=reward))
    (shard,) = write(tmp_path, [to_row(trace, ORIGIN)])
    assert pq.read_table(tmp_path / shard.path)["score"].to_pylist() == [None]


def test_large_odd_and_broken_texts_are_written(tmp_path):
    traces = [
        make_trace(0, "<think>" + "y" * 5_000_000 + "</think>4"),
        make_trace(1, "cut \ud83d 😀\0"),
        make_trace(2, "", prompt="\ud83d", metadata={"x": "\ud83d"}),
    ]
    (shard,) = write(tmp_path, (to_row(trace, ORIGIN) for trace in traces))
    replies = [
        turns[-1]["content"]
        for turns in pq.read_table(tmp_path / shard.path)["messages"].to_pylist()
    ]
    assert len(replies[0]) == 5_000_000 + len("<think>\n\n</think>\n\n4")
    assert replies[1:] == ["cut ? 😀\0", ""]


@settings(max_examples=10, deadline=None)
@given(
    st.lists(st.integers(0, 3000), min_size=1, max_size=60), st.lists(st.integers(1, 20)), st.data()
)
def test_bytes_do_not_depend_on_the_portions_that_rows_come_in(sizes, cuts, data):
    group, shard = data.draw(st.integers(500, 20_000)), data.draw(st.integers(500, 60_000))
    texts = [f"<think>{'é' * size}</think>" for size in sizes]
    made = [to_row(make_trace(n, text), ORIGIN) for n, text in enumerate(texts)]
    expected = None
    for portions in ([made], list(cut(made, cuts))):
        with tempfile.TemporaryDirectory() as place:
            root, options = Path(place), {"row_group_bytes": group, "shard_bytes": shard}
            with ShardWriter(root, ALL, **options) as writer:
                for some in portions:
                    portion = Portion(ALL.schema)
                    for row in some:
                        portion.add(row)
                        portion.gather()
                    writer.take(portion.close())
            assert sum(one.num_rows for one in writer.shards) == len(made)
            expected = expected or writer.shards
            assert writer.shards == expected


def cut(rows, sizes):
    for size in [*sizes, len(rows)]:
        yield rows[:size]
        rows = rows[size:]


def test_the_size_of_a_row_is_its_own():
    made = [to_row(make_trace(n, "x" * 1000 * n), ORIGIN) for n in range(4)]
    batch = to_batch(made, ALL.schema)
    sizes = row_bytes(batch)
    assert np.diff(sizes).tolist() == [1000, 1000, 1000]
    assert row_bytes(batch.slice(1, 2)).tolist() == sizes[1:3].tolist()
    assert sizes[0] > sum(len(text) for text in (made[0]["problem"], made[0]["sampling"]))
    assert row_bytes(batch.slice(0, 0)).tolist() == []


def test_arrow_has_its_own_memory_again_when_a_dataset_is_written():
    before = pa.default_memory_pool().backend_name
    with lean():
        assert pa.default_memory_pool().backend_name == "system"
    assert pa.default_memory_pool().backend_name == before
    with pytest.raises(ZeroDivisionError), lean():
        1 / 0  # noqa: B018
    assert pa.default_memory_pool().backend_name == before
