"""YAML -> Recipe: every check that needs neither engine nor data.

A recipe names everything about a run, and everything that leaves the machine. A plug-in is a
mapping with its `name` and its options. Relative paths are relative to the working directory.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import pydantic
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from factory import changes as edits
from factory import keys, plugins, public
from factory.contamination import Decontamination
from factory.curation import leaks
from factory.errors import PluginError, RecipeError
from factory.scheduling.branching import Branching
from factory.scheduling.doomed import Aborts
from factory.traces import TraceOptions
from factory.types import Message, Problem, Sampling


class Section(BaseModel):
    """A part of a recipe: unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Plugin(BaseModel):
    """A plug-in by name, with its options."""

    model_config = ConfigDict(extra="allow", frozen=True)
    name: str

    @property
    def options(self) -> dict[str, Any]:
        return dict(self.model_extra or {})


class Prompt(Section):
    """How a problem becomes the messages that the model sees."""

    system: str | None = None
    """System turn, unless the problem brings its own."""
    template: str = "{prompt}"
    """Text of the last user turn; `{prompt}` is the problem's."""

    @model_validator(mode="after")
    def _holds_prompt(self) -> Prompt:
        if "{prompt}" not in self.template:
            raise ValueError(f"template must contain {{prompt}}, got {self.template!r}")
        return self

    def render(self, problem: Problem) -> tuple[Message, ...]:
        """The conversation to be completed."""
        turns = problem.messages or (Message(role="user", content=problem.prompt),)
        text = self.template.replace("{prompt}", turns[-1]["content"])
        messages = (*turns[:-1], Message(role=turns[-1]["role"], content=text))
        if self.system is None or messages[0]["role"] == "system":
            return messages
        return (Message(role="system", content=self.system), *messages)


class Intake(Section):
    """Which rows of the sources become problems."""

    near_duplicates: float | None = Field(0.8, gt=0, le=1)
    """Jaccard index from which on a problem repeats an earlier one; null: exact repeats only."""
    max_prompt_chars: int = Field(100_000, gt=0)
    """Longer conversations are set aside."""


class Judging(Section):
    """Limits of the process in which verifiers run."""

    timeout_s: float = Field(5.0, gt=0, le=86_400)
    """Wall-clock seconds per judgement."""
    memory_mb: int = Field(2048, ge=256, le=1_048_576)
    """Address space of a worker process."""
    retries: int = Field(1, ge=0)
    """Further tries after a crash or a time-out of the checker."""


class Sandbox(Section):
    """Where programs run that a model wrote."""

    tier: Literal["namespaces", "landlock", "remote"] = "namespaces"
    """namespaces: bubblewrap and user namespaces; landlock: for hosts that allow none, weaker
    (`factory.sandbox.jail` says in what); remote: a SandboxFusion service. Nothing is chosen
    silently: where the tier cannot be had, nothing is run."""
    url: str | None = None
    """Address of the remote service."""
    visible: tuple[str, ...] = ()
    """Directories of this machine that programs may read beside /usr, as a Lean toolchain."""

    @model_validator(mode="after")
    def _has_address(self) -> Sandbox:
        if (self.tier == "remote") != (self.url is not None):
            raise ValueError("url is given with tier remote, and with it alone")
        return self


class Cluster(Section):
    """Where the run happens."""

    backend: Literal["ray", "local"] = "ray"
    """local: everything in this process, without Ray; for engines that need no GPU of their own."""
    address: str | None = None
    """A Ray cluster's address; `auto`: the one this machine belongs to; null: start one here."""
    replicas: int = Field(1, ge=1)
    """Engine replicas."""
    judges: int = Field(1, ge=1)
    """Verifier workers."""
    gpu_hour_price: float = Field(2.5, ge=0)
    """Of one GPU for an hour, in whatever currency: what `factory plan` reckons with."""
    log_every: int | None = Field(None, ge=1)
    """Tokens of a running rollout between two entries in the ledger, which is what is written
    again when its replica is killed. null: 16, and as much more beyond 64 replicas as keeps the
    entries within what one driver writes."""
    grace_s: float = Field(20.0, gt=0, le=3600)
    """A first SIGINT or SIGTERM has what is being written put on record, within so many seconds."""
    stalled_after_s: float = Field(900.0, gt=0, le=86_400)
    """A replica that holds rollouts and writes no token for so long counts as lost."""

    @property
    def cadence(self) -> int:
        """`log_every`, resolved."""
        return self.log_every or 16 * max(1, self.replicas // 64)

    @property
    def gather_s(self) -> float:
        """Seconds for which a replica's events gather before it hands them over.

        So that all replicas together send some 200 messages a second, since Ray takes the driver
        more than half a millisecond for each (`benchmarks.messages`); at most 5.
        """
        return min(5.0, max(0.025, self.replicas / 200))


class Card(Section):
    """What the dataset card says beside the figures."""

    license: str
    """Licence of the dataset: it follows from the teacher model's and the sources' licences."""
    title: str = ""
    """Headline of the card; empty for the run's name."""
    language: tuple[str, ...] = ("en",)
    """Languages of the dataset, as ISO 639 codes."""
    tags: tuple[str, ...] = ()
    """Further tags on the Hub."""


class Recipe(Section):
    """A run, in full."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    """Names the run and its folder."""
    sources: tuple[Plugin, ...] = Field(min_length=1)
    """Where problems come from, in this order. Further ones may be added to a run at the end."""
    intake: Intake = Intake()
    decontaminate: Decontamination = Decontamination()
    limit: int | None = Field(None, ge=1)
    """At most so many problems."""
    prompt: Prompt = Prompt()
    engine: Plugin
    """Who writes rollouts."""
    sampling: Sampling = Sampling()
    policy: Plugin = Plugin(name="fixed")
    """How many rollouts, for whom."""
    aborts: Aborts = Aborts()
    """Which rollouts are cut short as doomed; none, unless detectors are named."""
    branching: Branching = Branching()
    """Which rollouts part from earlier ones; none, unless it says after how many."""
    verifiers: tuple[Plugin, ...] = Field(min_length=1)
    """The first judges every problem that does not name another one of them."""
    judging: Judging = Judging()
    sandbox: Sandbox = Sandbox()
    traces: TraceOptions = TraceOptions()
    cluster: Cluster = Cluster()
    card: Card

    # What may differ between the commands that run and resume one ledger: none of it changes what
    # a rollout or a verdict is.
    MAY_VARY: ClassVar[tuple[str, ...]] = (
        "limit",
        "aborts",
        "decontaminate",
        "judging",
        "sandbox",
        "traces",
        "cluster",
        "card",
    )

    @field_validator("verifiers")
    @classmethod
    def _verifiers_differ(cls, verifiers: tuple[Plugin, ...]) -> tuple[Plugin, ...]:
        names = [verifier.name for verifier in verifiers]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"{name!r} is listed twice; a verifier has one set of options")
        return verifiers

    @model_validator(mode="after")
    def _plugins_exist(self, info: ValidationInfo) -> Recipe:
        if not (info.context or {}).get("build", True):
            return self
        for source in self.sources:
            plugins.build("source", source.name, source.options)
        self._forks_can_begin(plugins.build("policy", self.policy.name, self.policy.options))
        engine = plugins.build("engine", self.engine.name, self.engine.options)
        if self.branching.after and not getattr(engine, "can_branch", False):
            raise ValueError(
                f"branching.after must be 0 with engine {self.engine.name!r}, which cannot go on "
                f"from tokens or does not tell how unsure it was, got {self.branching.after}"
            )
        for verifier in self.verifiers:
            plugins.build("verifier", verifier.name, verifier.options)
        return self

    def _forks_can_begin(self, policy: Any) -> None:
        for option in ("n", "at_most"):
            most = getattr(policy, option, None)
            if self.branching.after and most is not None and self.branching.after >= most:
                raise ValueError(
                    f"branching.after must be below policy.{option} ({most}), or no rollout is "
                    f"ever a fork, got {self.branching.after}"
                )

    @property
    def verifier_options(self) -> dict[str, dict[str, Any]]:
        """Options by verifier name, the default first."""
        return {v.name: v.options for v in self.verifiers}

    def to_yaml(self) -> str:
        """The resolved recipe, as it is frozen into the run and printed on the card."""
        return _yaml(self.model_dump(mode="json"))

    def published(self) -> str:
        """The same as it is published: of paths on this machine, the names alone."""
        return _yaml(public.settings(self.model_dump(mode="json")))

    def fixed_part(self) -> str:
        """What every command on the same ledger must agree on."""
        data = self.model_dump(mode="json", exclude=set(self.MAY_VARY))
        for option in self._engine_may_vary():
            _drop(data["engine"], option)
        return _yaml(data)

    def _engine_may_vary(self) -> tuple[str, ...]:
        """Options of the engine that say where and how fast, not what a rollout is."""
        try:
            return getattr(plugins.load("engine", self.engine.name), "MAY_VARY", ())
        except PluginError:  # an old run's engine may not be on this machine
            return ()


def _yaml(data: dict[str, Any]) -> str:
    return yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=100)


def _drop(options: dict[str, Any], dotted: str) -> None:
    first, _, rest = dotted.partition(".")
    if rest and isinstance(options.get(first), dict):
        _drop(options[first], rest)
    if not rest or not options.get(first):  # nothing is left: as if it had not been given
        options.pop(first, None)


def load(path: Path, changes: Sequence[str] = (), *, build: bool = True) -> Recipe:
    """Read and check a recipe.

    Args:
        changes: `a.b=c` each, applied on top; values are YAML, list items by position.
        build: make every plug-in, which checks its options. False for a frozen recipe: it was
            checked, and its model and sources may not be on this machine.

    Raises:
        RecipeError: with the file, the key, the rule, the value and the choices.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise RecipeError(f"recipe {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise RecipeError(f"recipe {path}: not UTF-8: {error.reason}") from error
    return parse(text, str(path), changes, build=build)


def parse(text: str, where: str, changes: Sequence[str] = (), *, build: bool = True) -> Recipe:
    """As `load`, from text; `where` names it in errors."""
    data = edits.read_yaml(text, where)
    if not isinstance(data, dict):
        raise RecipeError(f"{where}: a recipe is a mapping, got {type(data).__name__}")
    for change in changes:
        edits.apply(data, change, Recipe)
    if wrong := keys.stray_boolean(Recipe, data):
        raise RecipeError(f"{where}: {wrong}")
    try:
        given = Recipe.model_validate(data, context={"build": build})
    except pydantic.ValidationError as error:
        raise RecipeError(f"{where}: {_explain(error)}") from None
    except PluginError as error:
        raise RecipeError(f"{where}: {error}") from None
    if leak := leaks.settings_leak(given.model_dump(mode="json")):
        key, what = leak
        raise RecipeError(
            f"{where}: {key}: looks like {what}. A recipe is published with its dataset and holds "
            "no secrets: give the name of an environment variable (as `api_key_env`)"
        )
    return given


def difference(frozen: Recipe, given: Recipe) -> str:
    """What differs between two recipes that may not differ, as a unified diff; empty if nothing.

    Sources may be added at the end: that is as if `limit` were raised.
    """
    if given.sources[: len(frozen.sources)] == frozen.sources:
        given = given.model_copy(update={"sources": frozen.sources})
    lines = difflib.unified_diff(
        frozen.fixed_part().splitlines(),
        given.fixed_part().splitlines(),
        "the run's recipe",
        "the given recipe",
        lineterm="",
        n=1,
    )
    return "\n".join(lines)


def _explain(error: pydantic.ValidationError) -> str:
    """Errors of a recipe, unknown keys with the known ones of their section."""
    kinds = ("extra_forbidden", "unexpected_keyword_argument")
    unknown = [e for e in error.errors() if e["type"] in kinds]
    if not unknown:
        return plugins.explain(error)
    *section, key = unknown[0]["loc"]
    model: Any = Recipe
    for name in section:
        model = keys.inside(model, str(name))
    known = ", ".join(keys.hints(model))
    inside = f" in {'.'.join(map(str, section))}" if section else ""
    return f"unknown key {key!r}{inside}; known: {known}"
