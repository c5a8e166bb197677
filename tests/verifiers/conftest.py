"""Tests of a verifier that needs what this machine lacks are skipped by name, with the remedy."""

from __future__ import annotations

import dataclasses
import functools
import re
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from factory import plugins, sandbox
from factory.errors import PluginError, SandboxError
from factory.verdicts import Judge
from tests.verifiers.subjects import Subject, subjects

COMMANDS = {"code": {"g++": "apt install g++"}, "proof": {"coqc": "apt install coq"}}
"""What golden cases of a verifier need beside the sandbox."""


@functools.cache
def missing(name: str) -> str:
    """What a verifier needs that is not here, with the way to get it; empty where all is."""
    for command, remedy in COMMANDS.get(name, {}).items():
        if shutil.which(command) is None:
            return f"{name} needs {command}: {remedy}"
    try:
        cls = plugins.load("verifier", name)
        if not any(_is_required(field) for field in dataclasses.fields(cls)):
            plugins.build("verifier", name, {})
    except PluginError as error:
        if absent := re.search(r"No module named '(?!verifiers|factory)([\w.]+)'", str(error)):
            return f"{name} needs the package {absent[1]}: pip install {absent[1]}"
        if need := re.search(r"needs .*: .*", str(error)):
            return f"{name} {need[0]}"
        raise
    return _missing_sandbox() if getattr(cls, "runs_code", False) is True else ""


def _is_required(field: dataclasses.Field[Any]) -> bool:
    defaults = (field.default, field.default_factory)
    return field.init and defaults == (dataclasses.MISSING, dataclasses.MISSING)


@functools.cache
def _missing_sandbox() -> str:
    try:
        with sandbox.open_sandbox():
            return ""
    except SandboxError as error:
        return str(error)


def _names(request: pytest.FixtureRequest) -> set[str]:
    """The verifiers that a test is about: of its file, and of its parameters."""
    named = {request.path.stem.removeprefix("test_")}
    params: dict[str, Any] = getattr(getattr(request.node, "callspec", None), "params", {})
    for value in params.values():
        named |= {value} if isinstance(value, str) else set()
        named |= value.names if isinstance(value, Subject) else set()
    return named & set(plugins.names("verifier"))


@pytest.fixture(autouse=True)
def _needed(request: pytest.FixtureRequest) -> None:
    for name in sorted(_names(request)):
        if reason := missing(name):
            pytest.skip(reason)


@pytest.fixture(scope="module", params=subjects(), ids=lambda subject: subject.label)
def subject(request: pytest.FixtureRequest) -> Iterator[Subject]:
    """Each verifier under each set of options that it has golden cases for, in one live worker."""
    given: Subject = request.param
    for name in sorted(given.names):
        if reason := missing(name):
            pytest.skip(reason)
    if given.runs_code and (reason := _missing_sandbox()):
        pytest.skip(reason)
    with Judge({given.name: given.options}, default=given.name, timeout_s=20) as judge:
        given.judge = judge
        yield given
        given.judge = None
    sandbox.close()
