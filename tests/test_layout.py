"""The house itself: names, sizes, imports, and what the documents promise."""

from __future__ import annotations

import argparse
import ast
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import factory
import verifiers
from factory import cli, plugins

ROOT = Path(__file__).parent.parent
CODE = sorted(p for room in ("factory", "verifiers", "data") for p in (ROOT / room).rglob("*.py"))
README = (ROOT / "README.md").read_text(encoding="utf-8")


def commands() -> dict[str, argparse.ArgumentParser]:
    (action,) = (a for a in cli.parser()._actions if isinstance(a, argparse._SubParsersAction))
    return dict(action.choices)


@pytest.mark.parametrize("package", [factory, verifiers], ids=lambda p: p.__name__)
def test_package_names_that_others_bear_too_resolve_to_this_checkout(package):
    assert Path(package.__file__).is_relative_to(ROOT)


@pytest.mark.parametrize("path", CODE, ids=lambda p: str(p.relative_to(ROOT)))
def test_files_and_functions_stay_readable(path):
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    assert ast.get_docstring(tree), "a module says what it is"
    assert len(text.splitlines()) <= 400
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            length = node.end_lineno - node.lineno + 1
            assert length <= 60, f"{node.name} has {length} lines"


def test_core_imports_and_checks_a_recipe_without_ray_vllm_or_torch():
    code = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"ray", "vllm", "torch", "transformers", "reasoning_gym"}:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Absent())
import factory.cli, factory.run, factory.rollouts, factory.crew, factory.hub
import factory.curation.curate
import factory.verdicts, factory.feed
from factory import recipe
from pathlib import Path
recipe.load(Path("pipelines/quickstart.yaml"))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_ray_is_asked_for_by_name_where_it_is_missing(sums, tmp_path):
    code = f"""
import sys
sys.modules["ray"] = None
from factory import cli
raise SystemExit(cli.main(["run", {str(sums.file())!r}, "--set", "cluster.backend=ray",
                           "--out", {str(tmp_path / "run")!r}]))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, check=False, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "install the `cluster` extra" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", commands())
def test_every_command_is_documented_and_has_help(name):
    assert f"factory {name}" in README
    assert commands()[name].description


def test_every_factory_command_in_the_readme_parses():
    found = re.findall(r"^ *(?:\$ )?factory ([a-z]+ .*?)(?:  +#.*)?$", README, re.M)
    assert len(found) >= 8
    for line in found:
        cli.parser().parse_args(shlex.split(line))


def test_readme_tree_names_every_file_of_the_house():
    for path in sorted((ROOT / "factory").glob("*.py")):
        if path.stem not in ("__init__", "__main__"):
            assert path.name in README, f"{path.name} is not in the README's tree"
    for room in sorted(path.parent.name for path in (ROOT / "factory").glob("*/__init__.py")):
        assert f"\n      {room}/ " in README, f"{room}/ is not in the README's tree"


def test_every_make_target_in_the_readme_exists():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))
    assert {"run", "test", "lint"} <= set(re.findall(r"make ([a-z]+)", README)) <= targets


@pytest.mark.parametrize("room", plugins.ROOMS)
def test_every_plugin_can_be_loaded_and_says_what_it_is(room):
    for name in plugins.names(room):
        assert plugins.summary(room, name).endswith(".")


def test_nothing_names_a_registry_or_a_path_of_one_machine():
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.split()
    hosts = re.compile(
        r"pypi\.org|pythonhosted|download\.pytorch|registry\.npmjs|deb\.debian", re.I
    )
    for name in listed:
        path = ROOT / name
        if name == os.path.relpath(__file__, ROOT) or path.suffix in (".safetensors", ".png"):
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        assert not hosts.search(text), name
