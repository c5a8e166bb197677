"""The command line as a person meets it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from factory import cli
from tests.hub_double import HubDouble


def run(capsys, *words):
    code = cli.main([str(w) for w in words])
    out, err = capsys.readouterr()
    return code, out, err


def test_run_status_curate_and_again(sums, tmp_path, capsys):
    code, out, err = run(capsys, "run", sums.file(), "--out", tmp_path / "run", "--limit", 5)
    assert code == 0
    for name in ("problems", "solved", "rollouts", "accepted traces", "pass@1", "tok/s"):
        assert name in out
    assert f"factory publish {tmp_path / 'run'}" in out
    assert "a new run" in err
    code, out, err = run(capsys, "run", sums.file(), "--out", tmp_path / "run", "--limit", 5)
    assert code == 0
    assert "nothing left to do" in err
    code, out, _ = run(capsys, "status", tmp_path / "run")
    assert code == 0
    assert "finished" in out
    assert "5 admitted, 5 done" in out
    code, out, _ = run(capsys, "curate", tmp_path / "run")
    assert code == 0
    assert "train-" in out
    code, out, err = run(capsys, "verify", tmp_path / "run")
    assert code == 0
    assert "0 verdicts changed" in err


def test_every_command_lets_arrow_give_its_memory_back():
    """Pools are chosen when pyarrow is imported: a command sets its own before."""
    code = (
        "import sys; from factory import cli; assert 'pyarrow' not in sys.modules; "
        "cli.main(['list']); import pyarrow; print(pyarrow.default_memory_pool().backend_name)"
    )
    bare = {k: v for k, v in os.environ.items() if k != "ARROW_DEFAULT_MEMORY_POOL"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=bare, check=True, capture_output=True, text=True
    )
    assert done.stdout.splitlines()[-1] == "system"


def test_dry_run_starts_and_writes_nothing(sums, tmp_path, capsys):
    code, out, _ = run(capsys, "run", sums.file(), "--out", tmp_path / "run", "--dry-run")
    assert code == 0
    assert "name: sums" in out
    assert not (tmp_path / "run").exists()


def test_check_counts_names_and_quarantines(sums, capsys):
    lines = sums.problems.read_text(encoding="utf-8").splitlines()
    lines[0] = "{"
    lines[1] = json.dumps({"prompt": "Unanswerable?"})
    sums.problems.write_text("\n".join(lines), encoding="utf-8")
    code, out, _ = run(capsys, "check", sums.file())
    assert code == 0
    assert "28 problems pass" in out
    assert "problems.jsonl:2: no_answer" in out
    code, out, _ = run(capsys, "check", sums.file(), "--recipe-only")
    assert code == 0
    assert "references" not in out


def test_judge_prints_a_verdict_per_row(tmp_path, capsys):
    rows = [
        {"prompt": "1/2?", "answer": "1/2", "completion": "It is \\boxed{0.5}."},
        {"prompt": "1/2?", "answer": "1/2", "completion": "It is \\boxed{0.4}."},
        {"prompt": "1/2?", "answer": "1/2", "completion": 7},
        {"prompt": "", "answer": "1/2", "completion": "x"},
    ]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(r) + "\n" for r in rows) + "{oops\n", encoding="utf-8")
    code, out, _ = run(capsys, "judge", "math", path)
    lines = [json.loads(line) for line in out.splitlines()]
    assert [x["outcome"] for x in lines] == [
        "correct",
        "incorrect",
        "bad_row",
        "bad_row",
        "bad_row",
    ]
    assert [x["row"] for x in lines] == ["1", "2", "3", "4", "5"]
    assert code == 1
    rows = [rows[0] | {"outcome": "correct"}, rows[1] | {"outcome": "not_correct"}]
    path.write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")
    assert run(capsys, "judge", "math", path)[0] == 0
    rows[1]["outcome"] = "correct"
    path.write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")
    assert run(capsys, "judge", "math", path)[0] == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["run", "nowhere.yaml"], "recipe nowhere.yaml: No such file"),
        (["status", "nowhere"], "nowhere is not a run"),
        (["curate", "nowhere"], "nowhere is not a run"),
        (["verify", "nowhere"], "nowhere is not a run"),
        (["judge", "maths", "x.jsonl"], "unknown verifier 'maths'; known: all_of, any_of"),
        (["judge", "math", "nowhere.jsonl"], "nowhere.jsonl"),
        (["judge", "math", "x", "--set", "strict"], "expected OPTION=VALUE"),
        (["publish", "nowhere", "--repo", "me/x"], "nowhere holds no dataset"),
    ],
)
def test_errors_are_one_line_and_a_code(words, message, capsys):
    code, _, err = run(capsys, *words)
    assert code == 1
    assert err.startswith("error: ")
    assert message in err
    assert len(err.strip().splitlines()) == 1


def test_list_names_every_plugin(capsys):
    code, out, _ = run(capsys, "list")
    assert code == 0
    for name in (
        "sources",
        "engines",
        "policies",
        "verifiers",
        "jsonl",
        "vllm",
        "adaptive",
        "math",
    ):
        assert name in out


def test_module_runs_and_closes_quietly_when_nobody_reads():
    done = subprocess.run(
        f"{sys.executable} -m factory list | head -1", shell=True, check=False,
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.stdout == "sources\n"
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("xet", [False, True], ids=["lfs", "xet"])
def test_a_run_is_published_and_loaded_back_by_its_name(sums, tmp_path, capsys, xet):
    assert run(capsys, "run", sums.file(), "--out", tmp_path / "run")[0] == 0
    load = (
        "import datasets, json; d = datasets.load_dataset('me/sums');"
        "a = datasets.load_dataset('me/sums', 'all', streaming=True);"
        "print(json.dumps([list(d), len(d['train']), d['train'].column_names,"
        " sum(1 for _ in a['train'])]))"
    )
    with HubDouble(tmp_path / "hub", xet=xet) as hub:
        hub.add_user("me", "hf_me_0123456789")
        env = {
            **os.environ,
            "HF_ENDPOINT": hub.url,
            "HF_TOKEN": "hf_me_0123456789",
            "HF_HOME": str(tmp_path / "home"),
            "HF_HUB_DISABLE_XET": "" if xet else "1",
        }

        def call(*words):
            return subprocess.run(
                [sys.executable, *map(str, words)],
                env=env, check=False, capture_output=True, text=True,
            )  # fmt: skip

        words = ("-m", "factory", "publish", tmp_path / "run", "--repo", "me/sums")
        first, second, loaded = call(*words), call(*words), call("-c", load)
        assert first.returncode == 0, first.stderr
        assert "11 files" in first.stdout
        assert "nothing new" in second.stdout
        assert loaded.returncode == 0, loaded.stderr
        splits, rows, columns, everything = json.loads(loaded.stdout.splitlines()[-1])
    assert splits == ["train"]
    assert rows > 30
    assert {"uuid", "messages", "answer", "pass_rate", "verifier_version"} <= set(columns)
    assert everything == 180
    assert "hf_me_" not in first.stdout + first.stderr


def test_a_file_that_cannot_be_written_is_no_traceback(sums, tmp_path, capsys):
    (tmp_path / "file").write_text("", encoding="utf-8")
    code, _, err = run(capsys, "run", sums.file(), "--out", tmp_path / "file" / "run")
    assert code == 1
    assert "Traceback" not in err
    assert "error: " in err


@pytest.mark.parametrize(
    ("raised", "expected", "message"),
    [
        (OSError(28, "No space left on device", "/runs/x"), 1, "error: /runs/x: No space left"),
        (OSError("just so"), 1, "error: just so"),
        (KeyboardInterrupt(), 130, "interrupted; the same command goes on"),
    ],
)
def test_what_the_machine_or_the_user_ends_is_one_line(
    raised, expected, message, monkeypatch, capsys
):
    def listing(_room):
        raise raised

    monkeypatch.setattr(cli.plugins, "names", listing)
    code, _, err = run(capsys, "list")
    assert code == expected
    assert err.startswith(message)
    assert err.count("\n") == 1


@pytest.mark.parametrize("value", ["a=[", "a=2024-13-45", "a=" + "[" * 5000])
def test_judge_names_an_option_that_is_no_yaml(value, tmp_path, capsys):
    code, _, err = run(capsys, "judge", "math", tmp_path / "rows.jsonl", "--set", value)
    assert code == 1
    assert err.startswith("error: --set 'a=")


CONSOLE = Path(sys.executable).parent / "factory"


def test_the_verifier_of_the_readme_runs_from_the_working_directory(tmp_path):
    readme = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
    section = readme.partition("## Adding a verifier")[2].partition("Put golden cases")[0]
    lines = [line for line in section.splitlines() if line.startswith("    ") or not line]
    (tmp_path / "mine").mkdir()
    code = textwrap.dedent("\n".join(lines))
    (tmp_path / "mine" / "word.py").write_text(code, encoding="utf-8")
    rows = [
        {"prompt": "?", "answer": "Paris", "completion": "It is Paris", "outcome": "correct"},
        {"prompt": "?", "answer": "Paris", "completion": "It is paris", "outcome": "correct"},
        {"prompt": "?", "answer": "Paris", "completion": "It is Rome", "outcome": "incorrect"},
        {"prompt": "?", "answer": "Paris", "completion": " ", "outcome": "unparsable"},
    ]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "rows.jsonl").write_text(text, encoding="utf-8")
    problems = "".join(
        json.dumps({"prompt": f"Capital of {n}?", "answer": n}) + "\n" for n in ("Rome", "Oslo")
    )
    (tmp_path / "p.jsonl").write_text(problems, encoding="utf-8")
    recipe = """
name: mine
sources: [{name: jsonl, path: p.jsonl}]
engine: {name: openai, model: m, endpoints: [http://localhost:1/v1]}
verifiers: [{name: mine.word}]
cluster: {backend: local}
card: {license: mit}
"""
    (tmp_path / "mine.yaml").write_text(recipe, encoding="utf-8")

    def call(*words):
        return subprocess.run(
            [CONSOLE, *words], cwd=tmp_path, check=False, capture_output=True, text=True
        )

    judged = call("judge", "mine.word", "rows.jsonl", "--set", "ignore_case=true")
    assert judged.returncode == 0, judged.stdout + judged.stderr
    checked = call("check", "mine.yaml")
    assert "references: 2 problems pass" in checked.stdout, checked.stderr


def test_an_output_that_lacks_a_character_is_no_traceback(tmp_path):
    row = {"prompt": "?", "answer": "caf\u00e9 \u2713", "completion": "\\boxed{caf\u00e9 \u2713}"}
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(row) + "\n", encoding="utf-8")
    plain = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    plain.pop("PYTHONIOENCODING", None)
    done = subprocess.run(
        [sys.executable, "-m", "factory", "judge", "exact", path],
        env=plain, check=False, capture_output=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.decode("ascii"))["outcome"] == "correct"


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_dry_run_refuses_a_source_that_is_not_there(kind, sums, capsys):
    source = f"sources=[{{name: {kind}, path: %s}}]"
    refused = {"no.x": "no.x: cannot be read: No such file", "no*": "no*: no file matches"}
    for path, said in refused.items():
        code, out, err = run(
            capsys, "run", sums.file(), "--dry-run", "--set", source % json.dumps(path)
        )
        assert code == 1
        assert said in err
        assert not out


def test_out_is_a_folder(sums, tmp_path, capsys):
    (tmp_path / "file").write_text("", encoding="utf-8")
    for out in ("file", "file/run"):
        for more in ([], ["--dry-run"]):
            code, _, err = run(capsys, "run", sums.file(), "--out", tmp_path / out, *more)
            assert code == 1
            assert f"{tmp_path / 'file'} is not a folder" in err
    with pytest.raises(SystemExit):
        run(capsys, "run", sums.file(), "--out", "")
    assert "--out: expected a folder, got nothing" in capsys.readouterr().err


def test_judge_takes_text_as_it_is(tmp_path, capsys):
    path = tmp_path / "rows.jsonl"
    path.write_text("", encoding="utf-8")
    code, _, err = run(capsys, "judge", "code", path, "--set", "language=007")
    assert code == 1
    assert "language '007'; choices" in err
    code, _, err = run(capsys, "judge", "numeric", path, "--set", "rel_tol=true")
    assert code == 1
    assert "rel_tol: number is wanted, got true" in err
