"""The verifiers that there are, with problems for them: what the contract is tested on."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from typing import Any

from factory import plugins
from factory.types import Completion, Outcome, Problem, Rollout, Verdict
from factory.verdicts import Judge
from verifiers import _golden
from verifiers._golden import Suite

RAISED = re.compile(r"[A-Z]\w*(?:Error|Exception|Exit|Interrupt)\b:")
"""What a verdict's detail starts with where the verifier raised."""


@dataclass(slots=True, kw_only=True)
class Subject:
    """A verifier under one set of options."""

    suite: Suite
    label: str
    judge: Judge | None = None
    """A live worker with this verifier, while its tests run."""

    @property
    def name(self) -> str:
        return self.suite.name

    @property
    def options(self) -> dict[str, Any]:
        return self.suite.options

    @property
    def names(self) -> set[str]:
        """This verifier and those that its options name."""
        return {self.name} | (set(_named(self.options)) & set(plugins.names("verifier")))

    @property
    def runs_code(self) -> bool:
        return bool(getattr(self.verifier(), "runs_code", False))

    def verifier(self) -> Any:
        """The verifier, in this process."""
        return plugins.build("verifier", self.name, self.options)

    def problems(self, most: int, most_running: int = 2) -> list[Problem]:
        """Golden problems, spread evenly; fewer where each judgement runs programs."""
        return spread(self.suite.problems(), most_running if self.runs_code else most)

    def verdicts(self, pairs: list[tuple[Problem, str]]) -> list[Verdict]:
        """The verdicts of the live worker; each is held to what any verdict must be."""
        assert self.judge is not None
        verdicts = judged(self.judge, pairs)
        for (_, text), verdict in zip(pairs, verdicts, strict=True):
            assert_sound(verdict, text)
        return verdicts


def subjects() -> list[Subject]:
    """Every verifier that has golden cases, under each of its sets of options."""
    found = []
    for name in plugins.names("verifier"):
        if not (_golden.FOLDER / f"{name}.jsonl").exists():
            continue  # test_golden says so
        for number, suite in enumerate(_golden.suites(name), start=1):
            label = name if number == 1 else f"{name}-{number}"
            found.append(Subject(suite=suite, label=label))
    return found


def judged(judge: Judge, pairs: list[tuple[Problem, str]]) -> list[Verdict]:
    return judge.judge_many(
        [
            (p, Rollout(problem_id=p.id, index=n, model="m", completion=Completion(text=text)))
            for n, (p, text) in enumerate(pairs)
        ]
    )


def assert_sound(verdict: Verdict, text: str) -> None:
    """One line of evidence, a reward exactly where there is a judgement, and nothing raised."""
    assert verdict.detail.strip(), f"no evidence for {text[:80]!r}"
    assert len(verdict.detail.splitlines()) == 1, verdict.detail
    assert not RAISED.match(verdict.detail), f"{text[:80]!r}: {verdict.detail}"
    assert (verdict.reward is not None) == verdict.outcome.judged
    assert verdict.outcome is not Outcome.CORRECT or verdict.reward
    verdict.detail.encode()
    (verdict.extracted or "").encode()


def spread(items: list[Any], most: int) -> list[Any]:
    """At most so many of the items, evenly spread."""
    return items[:: max(1, -(-len(items) // most))]


def _named(options: Any) -> list[str]:
    """Every `name` in nested options."""
    if isinstance(options, dict):
        own = [options["name"]] if isinstance(options.get("name"), str) else []
        return own + [name for value in options.values() for name in _named(value)]
    if isinstance(options, list | tuple):
        return [name for value in options for name in _named(value)]
    return []


@functools.cache
def answers(name: str) -> tuple[str, ...]:
    """The references of a verifier's golden problems."""
    found = (str(p.answer) for suite in _golden.suites(name) for p in suite.problems())
    return tuple(dict.fromkeys(found))
