import math
import os
import re
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from factory.errors import PluginError
from factory.sandbox import process
from factory.types import Completion, Outcome, Problem, Rollout, Verdict
from factory.verdicts import Judge
from tests.verifiers import faulty as faulty_verifier

FAULTY = "tests.verifiers.faulty"
PROBLEM = Problem(id="p", prompt="?", answer="yes")


def rollout(text: str, index: int = 0) -> Rollout:
    return Rollout(problem_id="p", index=index, model="m", completion=Completion(text=text))


def faulty(timeout_s: float = 1.0, retries: int = 0, memory_mb: int = 1024) -> Judge:
    return Judge(
        {FAULTY: {}}, default=FAULTY, timeout_s=timeout_s, retries=retries, memory_mb=memory_mb
    )


def judge(judge: Judge, *texts: str) -> list[Verdict]:
    return judge.judge_many([(PROBLEM, rollout(t, n)) for n, t in enumerate(texts)])


def is_running(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    try:
        return stat.read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_verdict_names_its_rollout_and_its_verifier():
    with faulty() as it:
        right, wrong = judge(it, "yes", "no")
    assert (right.outcome, right.reward, right.key) == (Outcome.CORRECT, 1.0, ("p", 0))
    assert (wrong.outcome, wrong.reward, wrong.key) == (Outcome.INCORRECT, 0.0, ("p", 1))
    assert (right.verifier, right.verifier_version) == (FAULTY, "test-1")
    assert right.extracted == "yes"


@pytest.mark.parametrize("text", ["hang", "hang in C"])
def test_a_hang_is_killed_in_time_and_is_no_wrong_answer(text):
    with faulty(timeout_s=0.5) as it:
        started = time.monotonic()
        verdict, after = judge(it, text, "yes")
        assert time.monotonic() - started < 5
    assert (verdict.outcome, verdict.reward) == (Outcome.TIMEOUT, None)
    assert "0.5 s" in verdict.detail
    assert after.outcome is Outcome.CORRECT


def test_only_the_job_at_fault_pays():
    texts = [*["yes", "no"] * 50, "hang", *["yes", "no"] * 50, "crash", "yes"]
    with faulty(timeout_s=0.5) as it:
        verdicts = judge(it, *texts)
    assert [v.index for v in verdicts] == list(range(len(texts)))
    assert [v.outcome for v in verdicts if v.outcome.judged].count(Outcome.CORRECT) == 101
    assert verdicts[100].outcome is Outcome.TIMEOUT
    assert verdicts[201].outcome is Outcome.ERROR


def line_of(text: str) -> int:
    """Where a text stands in the file of the verifier."""
    lines = Path(faulty_verifier.__file__).read_text(encoding="utf-8").splitlines()
    return next(number for number, line in enumerate(lines, 1) if text in line)


@pytest.mark.parametrize(
    ("text", "evidence"),
    [
        ("crash", "SIGSEGV"),
        ("exit", "code 7"),
        ("raise", f"TypeError: no such thing (faulty.py:{line_of('no such thing')})"),
        ("sys.exit", "SystemExit: 0"),
        ("bomb", "MemoryError"),
        ("nan", "nan is not in [0, 1]"),
        ("2.0", "2.0 is not in [0, 1]"),
        ("-0.5", "-0.5 is not in [0, 1]"),
        ("list", "TypeError: `extracted` is a list, not a text or None"),
        ("bytes", "TypeError: `detail` is a bytes, not a text"),
        ("word", "TypeError: `outcome` is a str, not an Outcome"),
        ("nothing", "TypeError: `verify` returned None, a Judgement is wanted"),
    ],
)
def test_what_goes_wrong_is_an_error_with_its_evidence(text, evidence):
    with faulty() as it:
        verdict, after = judge(it, text, "yes")
        assert it.judge(PROBLEM, rollout("yes")).outcome is Outcome.CORRECT
    assert (verdict.outcome, verdict.reward) == (Outcome.ERROR, None)
    assert evidence in verdict.detail
    assert after.outcome is Outcome.CORRECT


def test_a_verifier_that_forks_answers_once():
    """Else every verdict behind it would be that of another rollout."""
    with faulty(timeout_s=5) as it:
        for texts in (["yes", "fork", "yes", "no"], ["no", "no", "yes"], ["yes", "no"]):
            right = [text == "yes" for text in texts]
            assert [v.outcome is Outcome.CORRECT for v in judge(it, *texts)] == right
            time.sleep(0.2)


def test_a_reference_check_that_gets_no_judgement_or_an_error_says_where():
    with faulty() as it:
        nothing, raised = it.self_check_many(
            [replace(PROBLEM, answer="nothing"), replace(PROBLEM, answer="raise")]
        )
    assert nothing == (
        "the checker failed: TypeError: `verify` returned None, a Judgement is wanted"
    )
    assert raised.endswith(f"no such thing (faulty.py:{line_of('no such thing')})")


@pytest.mark.parametrize("said", [b"{", b"\xff", b"3", b"[" * 100_000])
def test_what_is_no_answer_ends_the_worker_and_costs_one_verdict(monkeypatch, said):
    receive, spoilt = process._Channel.receive, []

    def spoil(channel):
        answer = receive(channel)
        if answer is not None and answer.get("extracted") == "no" and not spoilt:
            spoilt.append(channel.process.pid)
            channel.incoming[:0] = len(said).to_bytes(4, "big") + said
            return receive(channel)
        return answer

    monkeypatch.setattr(process._Channel, "receive", spoil)
    with faulty() as it:
        verdicts = judge(it, "yes", "no", "yes")
        assert it._worker.pid != spoilt[0]
    right = Outcome.CORRECT
    assert [v.outcome for v in verdicts] == [right, Outcome.ERROR, right]


def test_crashes_are_tried_again_and_raised_errors_are_not():
    with faulty(retries=2) as it:
        started = it.judge(PROBLEM, rollout("pid")).detail
        assert judge(it, "raise")[0].outcome is Outcome.ERROR
        assert it.judge(PROBLEM, rollout("pid")).detail == started
        assert judge(it, "crash")[0].outcome is Outcome.ERROR
        assert it.judge(PROBLEM, rollout("pid")).detail != started


def test_a_sandbox_that_fails_a_verifier_is_tried_again_from_the_start():
    """It is nothing that the verifier or the candidate did."""
    with faulty(retries=2) as it:
        before = it.judge(PROBLEM, rollout("pid")).detail
        first, bad, last = judge(it, "yes", "no box", "no")
        after = it.judge(PROBLEM, rollout("pid")).detail
    assert (first.outcome, last.outcome) == (Outcome.CORRECT, Outcome.INCORRECT)
    assert (bad.outcome, bad.reward) == (Outcome.ERROR, None)
    seen = re.fullmatch(r"SandboxError: process (\d+) has no sandbox", bad.detail)
    assert seen
    assert len({before, seen[1], after}) == 3


def test_unsure_passes_through_without_a_reward():
    with faulty() as it:
        verdict = it.judge(PROBLEM, rollout("unsure"))
    assert (verdict.outcome, verdict.reward) == (Outcome.UNSURE, None)
    assert verdict.detail == "who knows"


def test_what_a_verifier_prints_is_not_an_answer():
    with faulty() as it:
        verdicts = judge(it, "print", "yes", "print", "no")
    expected = [Outcome.INCORRECT, Outcome.CORRECT, Outcome.INCORRECT, Outcome.INCORRECT]
    assert [v.outcome for v in verdicts] == expected


def test_the_worker_sees_no_secrets(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    with faulty() as it:
        names = it.judge(PROBLEM, rollout("environment")).detail.split()
    assert "HF_TOKEN" not in names
    assert set(names) <= {
        *("PATH", "PYTHONPATH", "LANG", "LC_CTYPE"),
        *("PYTHONHASHSEED", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"),
    }


def test_nothing_is_left_running():
    with faulty() as it:
        pids = [int(v.detail) for v in judge(it, "pid", "child")]
        assert all(map(is_running, pids))
    deadline = time.monotonic() + 5
    while any(map(is_running, pids)) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not any(map(is_running, pids))


def test_the_worker_dies_with_its_parent():
    script = (
        "import os\n"
        "from tests.test_verdicts import *\n"
        "it = faulty()\n"
        "print(it.judge(PROBLEM, rollout('pid')).detail, flush=True)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    pid = int(found.stdout)
    deadline = time.monotonic() + 5
    while is_running(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not is_running(pid)


def test_a_killed_worker_is_replaced():
    with faulty(retries=1) as it:
        pid = int(it.judge(PROBLEM, rollout("pid")).detail)
        os.kill(pid, signal.SIGKILL)
        again = it.judge(PROBLEM, rollout("pid"))
    assert again.outcome is Outcome.CORRECT
    assert int(again.detail) != pid


def test_a_closed_judge_starts_again():
    it = faulty()
    try:
        assert it.judge(PROBLEM, rollout("yes")).outcome is Outcome.CORRECT
        it.close()
        assert it.judge(PROBLEM, rollout("yes")).outcome is Outcome.CORRECT
    finally:
        it.close()


def test_it_works_off_the_main_thread_and_outlives_the_thread_that_started_it():
    found: list[Verdict] = []
    with faulty(timeout_s=0.5) as it:

        def work() -> None:
            found.extend(judge(it, "hang", "pid"))

        for _ in range(2):
            thread = threading.Thread(target=work)
            thread.start()
            thread.join()
        before = found[-1].detail
        time.sleep(0.1)
        assert it.judge(PROBLEM, rollout("pid")).detail == before
    assert [v.outcome for v in found] == [Outcome.TIMEOUT, Outcome.CORRECT] * 2


def test_one_judge_serves_several_threads():
    found: dict[int, list[Verdict]] = {}
    with faulty(timeout_s=10) as it:

        def work(n: int) -> None:
            found[n] = judge(it, *["yes" if (k + n) % 2 else "no" for k in range(200)])

        threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for n in range(4):
        expected = [Outcome.CORRECT if (k + n) % 2 else Outcome.INCORRECT for k in range(200)]
        assert [v.outcome for v in found[n]] == expected


def test_a_worker_is_recycled():
    with faulty() as it:
        it._worker._recycle_after = 10
        verdicts = judge(it, *["pid"] * 35)
    assert len({v.detail for v in verdicts}) == 4


def test_long_texts_and_odd_characters_pass():
    with faulty() as it:
        verdicts = judge(it, "x" * 3_000_000, "\ud800\x00\U0001f600", "long", "yes")
    assert [v.outcome for v in verdicts[:2]] == [Outcome.INCORRECT] * 2
    assert verdicts[1].extracted == "?\x00\U0001f600"
    assert len(verdicts[2].extracted or "") == 4096
    assert verdicts[3].outcome is Outcome.CORRECT


def test_an_unknown_verifier_is_an_error_that_names_the_known_ones():
    problem = Problem(id="p", prompt="?", answer="yes", verifier="maths")
    with faulty() as it:
        verdict, fine = it.judge_many([(problem, rollout("yes")), (PROBLEM, rollout("yes"))])
        assert "unknown verifier 'maths'" in (it.self_check(problem) or "")
    assert (verdict.outcome, verdict.reward) == (Outcome.ERROR, None)
    assert verdict.verifier == "maths"
    assert FAULTY in verdict.detail
    assert fine.outcome is Outcome.CORRECT


def test_a_problem_that_is_not_json_is_an_error():
    problem = Problem(id="p", prompt="?", answer="yes", spec={"f": math.sin})
    with faulty() as it:
        assert it.judge(problem, rollout("yes")).outcome is Outcome.ERROR


@pytest.mark.parametrize(
    ("specs", "message"),
    [
        ({"maths": {}}, "unknown verifier 'maths'"),
        ({"math": {"tolerence": 1}}, "no option 'tolerence'"),
        ({FAULTY: {"bonus": "much"}}, "bonus"),
    ],
)
def test_a_wrong_plug_in_is_refused_at_the_start(specs, message):
    with Judge(specs, default=next(iter(specs))) as it, pytest.raises(PluginError, match=message):
        it.judge(PROBLEM, rollout("yes"))


def test_options_reach_the_verifier():
    with Judge({FAULTY: {"bonus": 0.5}}, default=FAULTY) as it:
        assert it.judge(PROBLEM, rollout("yes")).reward == 0.5


def test_no_work_needs_no_worker():
    it = Judge({"maths": {}}, default="maths")
    assert it.judge_many([]) == []
    assert it.self_check_many([]) == []


def test_self_check():
    def problem(answer: str | None, **spec: str) -> Problem:
        return Problem(id="p", prompt="?", answer=answer, spec=spec)

    with faulty(timeout_s=0.5) as it:
        reasons = it.self_check_many(
            [
                problem("yes"),
                problem(None),
                problem("yes", perturbed="yes"),
                problem("unsure"),
                problem("raise"),
                problem("crash"),
                problem("hang"),
            ]
        )
        assert it.self_check(problem("yes")) is None
    assert reasons[0] is None
    expected = ["no answer", "perturbed", "unsure: who knows", "TypeError", "SIGSEGV", "0.5 s"]
    for reason, part in zip(reasons[1:], expected, strict=True):
        assert part in (reason or "")
        assert "\n" not in (reason or "")


def test_thousands_of_integer_answers_a_second():
    problem = Problem(id="p", prompt="?", answer="42", verifier="math")
    pairs = [(problem, rollout(f"<think>so</think> \\boxed{{{n}}}", n)) for n in range(4000)]
    with Judge({"math": {}}, default="math") as it:
        it.judge(*pairs[0])
        started = time.monotonic()
        verdicts = it.judge_many(pairs)
        seconds = time.monotonic() - started
    assert [v.index for v in verdicts if v.outcome is Outcome.CORRECT] == [42]
    assert len(pairs) / seconds > 500  # several thousand on an idle core
