"""The nouns, in the order in which they appear.

    problems -> rollouts -> verdicts -> traces -> shards -> hub

Every noun is a frozen dataclass with slots and keyword-only fields. They cross process and
machine boundaries, so they hold plain values only: strings, numbers, tuples and JSON values.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, ClassVar, Literal, NamedTuple, TypedDict

FinishReason = Literal["stop", "length", "abort", "error"]


class Message(TypedDict):
    """One turn of a conversation, in the form every engine and every trainer takes."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """A question whose answer can be checked.

    Example:
        Problem(id="3f2a...", prompt="What is 2 + 2?", answer="4", verifier="math")
    """

    id: str
    """16 hexadecimal digits derived from the conversation (`problem_id`): stable across runs."""
    prompt: str
    """The question: the last user turn, before any prompt template."""
    messages: tuple[Message, ...] = ()
    """The whole conversation where the source gave one; empty where `prompt` is all there is."""
    answer: str | None = None
    """The reference answer. Read by the problem's verifier alone; an engine never sees it."""
    verifier: str = ""
    """Name of the verifier that judges this problem; empty for the recipe's only one."""
    spec: dict[str, Any] = field(default_factory=dict)
    """What the verifier needs beside the answer (choices, tests, scorer entry): JSON values."""
    source: str = ""
    """Where the row came from: a path, a Hub id, a generator's name."""
    source_id: str = ""
    """The row's id in its source, or its row number."""
    line: int = 0
    """Its line or row number there, from 1; 0 where it was not recorded."""
    domain: str = ""
    """math, code, science, logic, ...: used for statistics alone."""
    metadata: dict[str, Any] = field(default_factory=dict)
    """Whatever else the row carried: published as it came, read by no code."""


def problem_id(prompt: str, messages: tuple[Message, ...] = ()) -> str:
    """The content-derived id: what the model is asked, and nothing else, decides it."""
    turns = [[m["role"], m["content"]] for m in messages] or [["user", prompt]]
    canonical = json.dumps(turns, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How completions are drawn, in vLLM's names."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    temperature: float = 1.0
    """0 is greedy."""
    top_p: float = 1.0
    """Only the likeliest tokens that together have this probability; 1: all."""
    top_k: int = 0
    """0 considers every token."""
    min_p: float = 0.0
    """Least probability of a token, as a share of the likeliest one's; 0: none."""
    repetition_penalty: float = 1.0
    """Above 1, tokens that were there before become less likely; 1: off."""
    max_tokens: int = 4096
    """Upper bound on the tokens of one completion, reasoning included."""
    stop: tuple[str, ...] = ()
    """Strings that end a completion, beside the model's own end token."""
    seed: int | None = 0
    """Seed of the run; every rollout draws its own from it. None: the engine's own randomness."""

    def __post_init__(self) -> None:
        rules = (
            ("temperature", 0 <= self.temperature < math.inf, "finite and at least 0"),
            ("top_p", 0 < self.top_p <= 1, "in (0, 1]"),
            ("top_k", self.top_k >= 0, "at least 0"),
            ("min_p", 0 <= self.min_p <= 1, "in [0, 1]"),
            ("repetition_penalty", 0 < self.repetition_penalty < math.inf, "finite and above 0"),
            ("max_tokens", self.max_tokens >= 1, "at least 1"),
        )
        for name, holds, rule in rules:
            if not holds:
                raise ValueError(f"{name} must be {rule}, got {getattr(self, name)}")


class RolloutKey(NamedTuple):
    """Names one rollout within a run."""

    problem_id: str
    index: int  # type: ignore[assignment]  # shadows tuple.index, which nobody calls
    """0-based, dense per problem."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """What a model wrote."""

    text: str
    """Everything written, `<think>` part included where the model writes it inline."""
    reasoning: str | None = None
    """The reasoning, where the engine returns it apart from the text; `text` is then without."""
    finish_reason: FinishReason = "stop"
    prompt_tokens: int = 0
    num_tokens: int = 0
    """Tokens generated for it, reasoning included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Branch:
    """What a rollout took from an earlier one, or can lend a later one.

    Only where a recipe asks for it (`factory.scheduling.branching`).
    """

    parent: int | None = None
    """Index of the rollout, of the same problem, that this one is a fork of."""
    shared: int = 0
    """Tokens that it took from there: it begins with them, and they are not counted in its
    completion's `num_tokens`."""
    trunk: tuple[int, ...] = ()
    """Its first tokens, up to the last of `points`."""
    points: tuple[tuple[int, float], ...] = ()
    """Where it was least sure how to go on: tokens before that place, and the entropy there in
    nats; the least sure place first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """One completion sampled for one problem."""

    problem_id: str
    index: int
    """0-based, dense per problem; with `problem_id` it names the rollout."""
    model: str
    """Name of the model that wrote it, as the recipe spells it."""
    completion: Completion
    seed: int | None = None
    """The seed of this one request."""
    replica: str = ""
    """The engine replica that finished it."""
    seconds: float = 0.0
    """Wall-clock time from request to last token, queueing included."""
    restarts: int = 0
    """How often it was interrupted and continued from its logged tokens."""
    started_over: int = 0
    """How often it was interrupted and began from nothing again, because its engine cannot continue
    or no token was logged yet; where tokens were lost, that favours short answers."""
    doomed: str = ""
    """The detector (`factory.scheduling.doomed`) that found it lost while it was written: it was
    cut there if its finish reason is `abort`, else it was audited and ran on."""
    doomed_at: int = 0
    """Tokens written when it was found."""
    branch: Branch | None = None
    """None: neither a fork, nor one that others may fork from."""

    @property
    def key(self) -> RolloutKey:
        return RolloutKey(self.problem_id, self.index)

    @property
    def forked(self) -> bool:
        """Whether it began with another rollout's tokens: no sample of the pass rate then."""
        return self.branch is not None and self.branch.parent is not None

    @property
    def length(self) -> int:
        """Tokens of the whole text, those taken from another rollout included."""
        return self.completion.num_tokens + (self.branch.shared if self.branch else 0)


class Outcome(StrEnum):
    """How a judgement ended. Only CORRECT is ever kept."""

    CORRECT = "correct"
    INCORRECT = "incorrect"
    UNPARSABLE = "unparsable"
    """The candidate gave no answer that can be read: its own failure, so reward 0."""
    UNSURE = "unsure"
    """Independent checks disagree."""
    TIMEOUT = "timeout"
    """The checker ran out of time."""
    ERROR = "error"
    """The checker crashed or ran out of memory."""

    @property
    def judged(self) -> bool:
        """Whether the checker could tell."""
        return self in (Outcome.CORRECT, Outcome.INCORRECT, Outcome.UNPARSABLE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What a verifier returns.

    Example:
        Judgement(outcome=Outcome.CORRECT, extracted="4", detail="equal as integers")
    """

    outcome: Outcome
    extracted: str | None = None
    """The candidate's answer as the verifier read it."""
    detail: str = ""
    """Why, in one line."""
    reward: float | None = None
    """Partial credit in [0, 1]; None takes the outcome's own: 1, 0, or none at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A judgement on the record."""

    problem_id: str
    index: int
    outcome: Outcome
    reward: float | None
    """In [0, 1]; None exactly where the outcome is not `judged`."""
    extracted: str | None
    detail: str
    verifier: str
    verifier_version: str
    sandbox: str = ""
    """The tier in which the candidate's code ran; empty where none was run."""
    seconds: float = 0.0
    replaces: Outcome | None = None
    """The outcome of the earlier verdict on this rollout, where it was judged again."""

    @property
    def key(self) -> RolloutKey:
        return RolloutKey(self.problem_id, self.index)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """A judged rollout with its problem: one published row."""

    problem: Problem
    rollout: Rollout
    verdict: Verdict
    num_generations: int
    """Rollouts of this problem that came to an end (aborted ones are not counted)."""
    pass_rate: float | None
    """Correct / judged over the rollouts of this problem, forks left out; None if none could be
    judged."""
    cluster: str = ""
    """Id of the first of the problems that nearly repeat this one; empty where none was sought."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """One Parquet file of the dataset."""

    path: str
    """Relative to the dataset folder, `/` between parts."""
    num_rows: int
    num_bytes: int
    sha256: str


GIVEN_UP = ("refused", "set_aside")
"""Rules of rejects that are no rows but problems, admitted and given up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reject:
    """A row that became no problem, with the reason: malformed, a duplicate, a broken reference; or
    a problem that was given up (`GIVEN_UP`)."""

    source: str
    """The file, Hub id or generator."""
    row: str
    """Row number (1-based) or id within the source."""
    rule: str
    """Short machine-readable reason: `malformed`, `no_answer`, `duplicate`, `unverifiable`, ..."""
    reason: str
    """One line for a person: the rule, the value, the choices."""
    problem_id: str | None = None
    """The problem that it was, or whose answer it contradicts (`conflicting_answer`)."""
    line: int = 0
    """Line or row number, from 1, where `row` is the row's own id; 0 where it is not known."""

    @property
    def place(self) -> str:
        """Where to look: `sums.jsonl:17`, or `sums.jsonl:17 (id a)`."""
        return place(self.source, self.row, self.line)

    @classmethod
    def of(cls, problem: Problem, rule: str, reason: str) -> Reject:
        """A row that had become a problem."""
        return cls(
            source=problem.source,
            row=problem.source_id,
            rule=rule,
            reason=reason,
            problem_id=problem.id,
            line=problem.line,
        )


def place(source: str, row: str, line: int) -> str:
    """Where a row is to be found: source, line, and its own id where it has one."""
    return f"{source}:{row}" if line == 0 or row == str(line) else f"{source}:{line} (id {row})"
