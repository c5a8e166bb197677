import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from factory.errors import SourceError
from factory.sources.parquet import Source
from factory.types import Reject


def write(path, columns, **options):
    pq.write_table(pa.table(columns), path, **options)
    return str(path)


def test_reads_all_row_groups_of_all_files(tmp_path):
    for name, start in (("b", 700), ("a", 0)):
        numbers = list(range(start, start + 700))
        write(tmp_path / f"{name}.parquet", {"n": numbers}, row_group_size=300)
    rows = list(Source(path=f"{tmp_path}/*.parquet", columns={"prompt": "n"}).rows())
    assert [row.values["prompt"] for row in rows] == list(range(1400))
    assert (rows[699].number, rows[700].number) == (700, 1)
    assert rows[700].source == f"{tmp_path}/b.parquet"


def test_nested_columns_arrive_as_plain_values(tmp_path):
    columns = {
        "messages": [[{"role": "user", "content": "😀?"}]],
        "tests": [{"inputs": ["1"], "outputs": ["2"]}],
        "level": [float("nan")],
    }
    path = write(tmp_path / "a.parquet", columns)
    (row,) = Source(path=path, columns={"spec.tests": "tests"}).rows()
    assert row.values["messages"] == [{"role": "user", "content": "😀?"}]
    assert row.values["spec.tests"] == {"inputs": ["1"], "outputs": ["2"]}
    assert set(row.extra) == {"level"}


def test_what_cannot_be_read_is_named(tmp_path):
    with pytest.raises(SourceError, match=r"none\.parquet: cannot be read"):
        list(Source(path=f"{tmp_path}/none.parquet").rows())
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 nothing PAR1")
    with pytest.raises(SourceError, match=r"bad\.parquet: cannot be read"):
        list(Source(path=f"{tmp_path}/bad.parquet").rows())
    path = write(tmp_path / "a.parquet", {"problem": ["a"]})
    with pytest.raises(SourceError, match="no column 'question'"):
        list(Source(path=path, columns={"prompt": "question"}).rows())


def test_rows_are_read_as_they_are_asked_for(tmp_path):
    path = write(tmp_path / "a.parquet", {"prompt": ["x" * 1000] * 20_000}, row_group_size=1000)
    before = pa.total_allocated_bytes()
    rows = Source(path=path).rows()
    next(rows)
    assert pa.total_allocated_bytes() - before < 4_000_000
    rows.close()


def test_text_that_is_not_utf8_sets_its_row_aside(tmp_path):
    text = pa.array([b"a", b"\xff\xfe", b"c"], pa.binary()).view(pa.string())
    path = write(tmp_path / "a.parquet", {"prompt": text})
    one, two, three = Source(path=path).rows()
    assert (one.values["prompt"], three.values["prompt"], three.number) == ("a", "c", 3)
    assert isinstance(two, Reject)
    assert (two.source, two.row, two.rule) == (path, "2", "malformed")
    assert "utf-8" in two.reason


def test_a_path_that_exists_is_no_glob(tmp_path):
    path = write(tmp_path / "a[1]*.parquet", {"prompt": ["this"]})
    write(tmp_path / "a1b.parquet", {"prompt": ["that"]})
    assert [row.values["prompt"] for row in Source(path=path).rows()] == ["this"]
