"""The command line: thin, every command one function."""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from factory import plugins
from factory.errors import EngineError, FactoryError, LedgerError
from factory.quiet import QUIET
from factory.simulation import command as simulation

if TYPE_CHECKING:
    from factory.hub import Spread
    from factory.recipe import Recipe


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit code is 0 only if nothing was left undone, 130 if interrupted."""
    os.environ.update({k: v for k, v in QUIET.items() if k not in os.environ})
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # what its encoding lacks is no reason to stop
            stream.reconfigure(errors="backslashreplace")
    arguments = parser().parse_args(argv)
    command: Callable[[argparse.Namespace], int] = arguments.command
    try:
        return command(arguments)
    except FactoryError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        where = "" if error.filename is None else f"{error.filename}: "
        print(f"error: {where}{error.strerror or error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; the same command goes on", file=sys.stderr)
        return 130


def parser() -> argparse.ArgumentParser:
    """Every command with its arguments."""
    top = argparse.ArgumentParser(prog="factory", description="Verified reasoning traces.")
    commands = top.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, function: Callable[[argparse.Namespace], int]) -> argparse.ArgumentParser:
        text = (function.__doc__ or "").strip()
        made = commands.add_parser(name, help=text.partition("\n")[0], description=text)
        made.set_defaults(command=function)
        return made

    run = add("run", run_recipe)
    check = add("check", check_recipe)
    for one in (run, check):
        one.add_argument("recipe", type=Path, metavar="RECIPE")
        one.add_argument("--set", action="append", default=[], metavar="KEY.KEY=VALUE")
        one.add_argument("--limit", type=int, metavar="N", help="at most N problems")
    run.add_argument("--out", type=_out, metavar="DIR", help="run folder (runs/NAME)")
    run.add_argument("--dry-run", action="store_true", help="show what would run, start nothing")
    run.add_argument(
        "--retry-set-aside",
        action="store_true",
        help="open the problems again that were set aside, once what made them fail is mended",
    )
    check.add_argument("--recipe-only", action="store_true", help="read no source")

    judge = add("judge", judge_file)
    judge.add_argument("verifier", metavar="VERIFIER")
    judge.add_argument("file", type=Path, metavar="FILE.jsonl")
    judge.add_argument("--set", action="append", default=[], metavar="OPTION=VALUE")
    judge.add_argument("--sandbox", choices=["namespaces", "landlock"], default="namespaces")

    for name, function in (
        ("status", show_status),
        ("verify", verify_again),
        ("curate", curate_run),
    ):
        made = add(name, function)
        made.add_argument("dir", type=Path, metavar="DIR")
        if function is not show_status:
            made.add_argument("--set", action="append", default=[], metavar="KEY.KEY=VALUE")

    _publish_options(add("publish", publish_run))

    simulation.options(add("simulate", simulate_run))

    plan = add("plan", plan_run)
    plan.add_argument("recipe", type=Path, metavar="RECIPE")
    plan.add_argument("--set", action="append", default=[], metavar="KEY.KEY=VALUE")
    plan.add_argument("--limit", type=_count, metavar="N", help="of the run: at most N problems")
    plan.add_argument("--out", type=_out, metavar="DIR", help="folder of the run (runs/NAME)")
    plan.add_argument("--sample", type=_count, default=96, metavar="N", help="pilot problems (96)")
    plan.add_argument("--rollouts", type=_count, default=6, metavar="N", help="of each (6)")
    plan.add_argument("--json", action="store_true", help="print one JSON object")

    _list_options(add("list", list_plugins))
    return top


def _list_options(listed: argparse.ArgumentParser) -> None:
    rooms = ", ".join([*plugins.ROOMS, "recipe"])
    listed.add_argument("room", nargs="?", metavar="ROOM", help=rooms)
    listed.add_argument("name", nargs="?", metavar="NAME", help="plug-in, or section of the recipe")
    listed.add_argument("--markdown", action="store_true", help="everything, as docs/recipe.md")


def _publish_options(publish: argparse.ArgumentParser) -> None:
    publish.add_argument("dir", type=Path, metavar="DIR")
    publish.add_argument("--repo", required=True, metavar="NAMESPACE/NAME")
    publish.add_argument("--private", action="store_true")
    publish.add_argument("--revision", metavar="BRANCH")
    publish.add_argument("--tag", metavar="TAG", help="name this version; never moved")
    publish.add_argument(
        "--pull-request", metavar="TITLE", help="propose it instead of writing to a branch"
    )
    publish.add_argument(
        "--here", action="store_true", help="upload from this machine, not from the run's cluster"
    )
    beside = publish.add_mutually_exclusive_group()
    for name, text in (
        ("append", "add to the dataset of another run, touching no row of it"),
        ("replace", "take the place of every other run's dataset"),
    ):
        beside.add_argument(
            f"--{name}", dest="other", action="store_const", const=name, default="refuse", help=text
        )


def _recipe(arguments: argparse.Namespace, *, build: bool = True) -> Recipe:
    from factory import recipe

    changes = list(arguments.set)
    if arguments.limit is not None:
        changes.append(f"limit={arguments.limit}")
    return recipe.load(arguments.recipe, changes, build=build)


def _folder(given: Path | None, recipe: Recipe) -> Path:
    """Where the run lies.

    Raises:
        LedgerError: something else is there.
    """
    folder = given or Path("runs") / recipe.name
    for one in (folder, *folder.parents):
        if one.exists() and not one.is_dir():
            raise LedgerError(f"--out {folder}: {one} is not a folder")
    return folder


def _out(text: str) -> Path:
    if not text:
        raise argparse.ArgumentTypeError("expected a folder, got nothing")
    return Path(text)


def run_recipe(arguments: argparse.Namespace) -> int:
    """Run a recipe, fresh or resumed: the same command."""
    from factory import feed, run
    from factory.report.summary import next_steps, summary, table, undone

    given = _recipe(arguments)
    folder = _folder(arguments.out, given)
    if arguments.dry_run:
        feed.look(given)
        print(given.to_yaml(), end="")
        print(f"# would run in {folder}")
        return 0
    result = run.run(given, folder, _say, retry_set_aside=arguments.retry_set_aside)
    if result.dataset is None:
        _say(f"{folder}: stopped; the same command goes on from here")
        return 1
    if not result.worked:
        _say(f"{folder}: nothing left to do")
    print(table(summary(folder, result.counts, result.dataset, result.generating_s)))
    left = undone(folder, result.counts, result.changed)
    print(next_steps(folder, result.dataset, publish=not left))
    for line in left:
        _say(line)
    return 1 if left else 0


def check_recipe(arguments: argparse.Namespace) -> int:
    """Check a recipe: its keys, its sandbox, and that every reference passes its own verifier.

    Where a verifier runs what a model wrote, attacks are run in the recipe's sandbox first.
    """
    from factory import feed
    from factory.report.counts import Counts, listed
    from factory.report.meanwhile import meanwhile
    from factory.types import Reject

    given = _recipe(arguments)
    print(f"recipe: {arguments.recipe} is valid")
    if arguments.recipe_only:
        return 0
    if not _sandbox_holds(given):
        return 1
    counts = Counts()

    def far() -> str:
        return f"{counts.problems} references passed, {counts.rejects.total()} rows rejected so far"

    with meanwhile(far):
        for item in feed.problems(given):
            counts.add(item)
            if isinstance(item, Reject) and counts.rejects[item.rule] <= 5:
                print(f"  {item.place}: {item.rule}: {item.reason}", flush=True)
    print(f"references: {counts.problems} problems pass their verifier's self-check")
    print(f"rejected rows: {listed(counts.rejects) or 'none'}")
    return 0 if counts.problems else 1


def _sandbox_holds(recipe: Recipe) -> bool:
    """Whether the recipe's sandbox stops every attack; True where the recipe needs none."""
    from factory.sandbox import open_sandbox
    from factory.sandbox.probes import probe

    verifiers = [plugins.build("verifier", v.name, v.options) for v in recipe.verifiers]
    if not any(getattr(verifier, "runs_code", False) for verifier in verifiers):
        return True
    with open_sandbox(**recipe.sandbox.model_dump()) as sandbox:
        print(f"sandbox: {sandbox.describe()}")
        findings = list(probe(sandbox))
    for finding in findings:
        if not finding.held:
            print(f"  not contained: {finding.probe.name}: {finding.detail}")
    print(f"attacks contained: {sum(f.held for f in findings)} of {len(findings)}")
    return all(finding.held for finding in findings)


def judge_file(arguments: argparse.Namespace) -> int:
    """Judge the rows of a JSONL file: problem fields and a `completion` each.

    Prints a verdict per row as a JSON line. Where rows hold an expected `outcome`, the exit code
    tells whether all agreed.
    """
    from factory.judging import judge_rows, options_from

    failures = 0
    plain = (sys.stdout.encoding or "").lower() not in ("utf-8", "utf8")
    options = options_from(arguments.verifier, arguments.set)
    for line in judge_rows(arguments.verifier, options, arguments.file, arguments.sandbox):
        failures += not line.as_expected
        print(json.dumps(asdict(line), ensure_ascii=plain))
    return 1 if failures else 0


def show_status(arguments: argparse.Namespace) -> int:
    """Show how a run stands, live or finished."""
    from factory.report.status import status

    for line in status(arguments.dir):
        print(line)
    return 0


def verify_again(arguments: argparse.Namespace) -> int:
    """Judge every rollout of a run again, without generating, and rewrite its dataset."""
    from factory import run

    run.rejudge(arguments.dir, _say, arguments.set)
    return _curate(arguments.dir)


def curate_run(arguments: argparse.Namespace) -> int:
    """Write the dataset of a run from its ledger; --set changes what is kept, and how."""
    return _curate(arguments.dir, arguments.set)


def _curate(folder: Path, changes: Sequence[str] = ()) -> int:
    from factory import run

    result = run.make_dataset(folder, changes, _say)
    for shard in result.shards:
        print(f"{result.folder / shard.path}  {shard.num_rows} rows, {shard.num_bytes} bytes")
    return 0


def publish_run(arguments: argparse.Namespace) -> int:
    """Push a run's dataset to the Hub: card and shards in one commit.

    Where the run was spread over a Ray cluster, so is the upload.
    """
    from factory.hub import Other, publish
    from factory.hub.courier import one_after_another

    folder = arguments.dir / "dataset"
    if not folder.is_dir():
        raise LedgerError(f"{arguments.dir} holds no dataset; run or `factory curate` it first")
    done = publish(
        folder,
        arguments.repo,
        private=arguments.private,
        revision=arguments.revision,
        tag=arguments.tag,
        pull_request=arguments.pull_request,
        other=Other(arguments.other),
        spread=one_after_another if arguments.here else _spread(arguments.dir),
    )
    if done.commit is None:
        print(f"{done.url}: nothing new to publish")
    else:
        print(f"{done.url}: {done.uploaded_files} files, {done.uploaded_bytes} bytes")
    return 0


def _spread(folder: Path) -> Spread:
    """Who uploads: the workers of the run's cluster, else this process.

    Raises:
        EngineError: the cluster cannot be reached.
    """
    from factory import run
    from factory.hub.courier import one_after_another

    given = run.frozen(folder).cluster if (folder / "recipe.yaml").exists() else None
    if given is None or given.address is None or given.backend != "ray":
        return one_after_another
    try:
        from factory import cluster

        cluster.join(given.address)
    except (ImportError, EngineError) as error:
        raise EngineError(f"{error}; or give `--here` to upload from this machine") from error
    return cluster.spread


def _count(text: str) -> int:
    if not text.isdigit() or not int(text):
        raise argparse.ArgumentTypeError(f"expected a number of at least 1, got {text!r}")
    return int(text)


def plan_run(arguments: argparse.Namespace) -> int:
    """Say what a run will come to, from a pilot of a few rollouts on a sample of its problems."""
    from factory.forecast.command import plan

    plan(_recipe(arguments), arguments, _say)
    return 0


def simulate_run(arguments: argparse.Namespace) -> int:
    """Forecast a recipe's run on a virtual clock: the same scheduler, engines that are assumed.

    Prints slot use, what became of the tokens, wall time, cost, and coverage by pass rate.
    """
    simulation.simulate(_recipe(arguments, build=False), arguments)
    return 0


def list_plugins(arguments: argparse.Namespace) -> int:
    """List the plug-ins there are; with ROOM NAME the options of one, with `recipe` all keys."""
    from factory.listing import listing, markdown

    for line in [markdown()] if arguments.markdown else listing(arguments.room, arguments.name):
        print(line)
    return 0


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
