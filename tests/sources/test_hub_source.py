import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from factory.errors import SourceError
from factory.sources.hub import Source


@pytest.fixture
def repo(tmp_path):
    folder = tmp_path / "repo"
    (folder / "data").mkdir(parents=True)
    table = pa.table({"problem": ["a", "b"], "answer": ["1", "2"], "tags": [["x"], []]})
    pq.write_table(table, folder / "data" / "train-00000.parquet")
    return str(folder)


def test_streams_the_rows_of_a_split(repo):
    rows = list(Source(repo=repo, columns={"prompt": "problem"}).rows())
    assert [row.values for row in rows] == [
        {"prompt": "a", "answer": "1"},
        {"prompt": "b", "answer": "2"},
    ]
    assert [row.number for row in rows] == [1, 2]
    assert rows[0].source == repo
    assert rows[0].extra == {"tags": ["x"]}


def test_a_split_config_or_column_that_is_not_there_is_an_error(repo):
    with pytest.raises(SourceError, match=r"split test\): cannot be read: ValueError: Bad split"):
        list(Source(repo=repo, split="test").rows())
    with pytest.raises(SourceError, match="config extra"):
        list(Source(repo=repo, config="extra").rows())
    with pytest.raises(SourceError, match="no column 'question'"):
        list(Source(repo=repo, columns={"prompt": "question"}).rows())


def test_without_the_hub_the_error_names_the_dataset(monkeypatch):
    import datasets.config
    import huggingface_hub.constants

    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(SourceError, match=r"someone/something \(config default, split train\)"):
        list(Source(repo="someone/something").rows())
