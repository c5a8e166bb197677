import contextlib
import gzip
import json
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factory import plugins
from factory.errors import PluginError, SourceError
from factory.sources.jsonl import Source, parse
from factory.types import Reject

LINES = [{"question": f"What is {n} + 1?", "answer": n + 1, "level": "1 😀"} for n in range(5)]


def write(path: Path, data: bytes) -> str:
    if path.suffix == ".gz":
        data = gzip.compress(data)
    elif path.suffix == ".zst":
        data = pa.compress(data, codec="zstd", asbytes=True)
    path.write_bytes(data)
    return str(path)


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.jsonl.zst"])
def test_reads_plain_and_compressed_files(tmp_path, name):
    data = "\n".join(json.dumps(line, ensure_ascii=False) for line in LINES).encode()
    path = write(tmp_path / name, data)
    rows = list(Source(path=path, columns={"prompt": "question"}).rows())
    assert [row.values["prompt"] for row in rows] == [line["question"] for line in LINES]
    assert rows[0].values["answer"] == 1
    assert rows[0].extra == {"level": "1 😀"}
    assert (rows[4].source, rows[4].number, rows[4].id) == (path, 5, "5")


def test_a_glob_reads_the_files_in_the_order_of_their_names(tmp_path):
    for name in ("b", "a", "c"):
        write(tmp_path / f"{name}.jsonl", b'{"prompt": "%s"}\n' % name.encode())
    rows = list(Source(path=f"{tmp_path}/*.jsonl", label="mine").rows())
    assert [row.values["prompt"] for row in rows] == ["a", "b", "c"]
    assert {row.source for row in rows} == {"mine"}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"prompt": "a"', "line 2: "),
        (b"[1, 2]", "line 2: a JSON object is wanted, got list"),
        (b'"text"', "line 2: a JSON object is wanted, got str"),
        (b'{"prompt": "\xff\xfe"}', "line 2: invalid UTF-8 at byte 12"),
        (rb'{"prompt": "\ud83d"}', "line 2: lone surrogate \\ud83d, which UTF-8 cannot hold"),
        (rb'{"\udc00": 1}', "line 2: lone surrogate \\udc00, which UTF-8 cannot hold"),
        (b"[" * 100_000, "line 2: nested too deeply"),
        (b'{"prompt": "a", "prompt": "b"}', "line 2: key 'prompt' stands there twice"),
        (b'{"prompt": "a", "x": {"y": 1, "z": 2, "z": 1}}', "line 2: key 'z' stands there twice"),
        (b'{"n": ' + b"9" * 5000 + b"}", "line 2: "),
    ],
)
def test_a_bad_line_is_set_aside_and_the_rest_is_read(tmp_path, line, reason):
    path = write(tmp_path / "a.jsonl", b'{"prompt": "a"}\n' + line + b'\n\n{"prompt": "b"}')
    first, bad, last = Source(path=path).rows()
    assert isinstance(bad, Reject)
    assert (bad.source, bad.row, bad.rule) == (path, "2", "malformed")
    assert bad.reason.startswith(reason)
    assert (first.values["prompt"], last.values["prompt"]) == ("a", "b")
    assert last.number == 4


def test_a_surrogate_pair_and_a_byte_order_mark_are_fine(tmp_path):
    path = write(tmp_path / "a.jsonl", b'\xef\xbb\xbf{"prompt": "\\ud83d\\ude00"}\r\n')
    (row,) = Source(path=path).rows()
    assert row.values["prompt"] == "😀"


def test_columns_fill_our_fields_and_the_rest_is_kept_apart(tmp_path):
    line = {"id": "x7", "q": "why?", "prompt": "other", "opts": ["a"], "spec.n": 3, "messages": []}
    path = write(tmp_path / "a.jsonl", json.dumps(line).encode())
    (row,) = Source(path=path, columns={"prompt": "q", "spec.choices": "opts"}).rows()
    assert row.id == "x7"
    assert row.values == {"id": "x7", "prompt": "why?", "spec.choices": ["a"], "spec.n": 3}
    assert row.extra == {"prompt": "other", "messages": []}


def test_a_number_keeps_the_form_in_which_it_was_written(tmp_path):
    path = write(tmp_path / "a.jsonl", b'{"prompt": "pi?", "answer": 3.1415926535897932384600}')
    (row,) = Source(path=path).rows()
    assert row.values["answer"].text == "3.1415926535897932384600"
    assert row.values["answer"] == 3.141592653589793


def test_a_missing_file_a_damaged_file_and_an_empty_glob_are_errors(tmp_path):
    with pytest.raises(SourceError, match=r"none\.jsonl: cannot be read: .*No such file"):
        list(Source(path=f"{tmp_path}/none.jsonl").rows())
    with pytest.raises(SourceError, match="no file matches"):
        list(Source(path=f"{tmp_path}/*.jsonl").rows())
    with pytest.raises(SourceError, match="cannot be read"):
        list(Source(path=str(tmp_path)).rows())
    whole = gzip.compress(json.dumps(LINES[0]).encode() * 1000)
    for name, data in (
        ("cut.gz", whole[:-9]),
        ("no.gz", b"{}"),
        ("no.zst", b"{}"),
        ("x.gz", whole[:40]),
    ):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(SourceError, match=f"{name}: cannot be read"):
            list(Source(path=str(tmp_path / name)).rows())


def test_an_unknown_column_and_an_unknown_field_are_errors(tmp_path):
    path = write(tmp_path / "a.jsonl", b'{"prompt": "a", "solution": "b"}')
    with pytest.raises(
        SourceError, match=r"no column 'answr' \(columns.answer\); columns: prompt, so"
    ):
        list(Source(path=path, columns={"answer": "answr"}).rows())
    with pytest.raises(PluginError, match="no field 'promt'; fields: prompt, messages"):
        plugins.build("source", "jsonl", {"path": path, "columns": {"promt": "a"}})
    with pytest.raises(PluginError, match=r"no field 'spec\.'"):
        plugins.build("source", "jsonl", {"path": path, "columns": {"spec.": "a"}})


def test_a_mapped_column_may_be_missing_from_some_rows(tmp_path):
    path = write(tmp_path / "a.jsonl", b'{"q": "a"}\n{"q": "b", "domain": "code"}')
    rows = list(Source(path=path, columns={"prompt": "q", "domain": "domain"}).rows())
    assert [row.values.get("domain") for row in rows] == [None, "code"]


@settings(deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_are_an_object_or_a_value_error(line):
    with contextlib.suppress(ValueError):
        assert isinstance(parse(line), dict)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@settings(deadline=None)
@given(st.dictionaries(st.text(), json_values), st.booleans())
def test_every_object_is_read_back(values, ascii_only):
    values = json.loads(json.dumps(values))
    try:
        line = json.dumps(values, ensure_ascii=ascii_only).encode()
        line.decode()
        json.dumps(values, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return
    assert parse(line) == values


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (b'[\n  {"prompt": "a"}\n]\n', "a JSON array"),
        (b'\n[{"prompt": "a"},\n{"prompt": "b"}]', "a JSON array"),
        (b'\xef\xbb\xbf[ {"prompt": "a"}]', "a JSON array"),
        (b'{\n  "prompt": "a"\n}\n', "one JSON value over several lines"),
    ],
)
def test_other_json_is_named_and_not_read_line_by_line(tmp_path, text, what):
    path = write(tmp_path / "a.json", text)
    with pytest.raises(SourceError, match=f"a.json:[12]: this looks like {what}; one object per"):
        list(Source(path=path).rows())
