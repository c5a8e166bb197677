"""The process in which the tests run: pytest, with a module that is somewhere else.

What came of each test is written line by line to standard output, each with the host's nonce; what
the tests print is captured by pytest. Nothing of the module under test is ever in this process.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import json
import os
import sys
import types
from collections.abc import Sequence
from typing import Any

import pytest

from verifiers import _unit_tests_host, _unit_tests_proxy

_ARGUMENTS = (
    "--noconftest",
    "--assert=plain",
    "--capture=sys",
    "--rootdir=.",
    "--confcutdir=.",
    "-c",
    os.devnull,
    "-p",
    "no:cacheprovider",
    "-p",
    "no:faulthandler",
    "-p",
    "no:unraisableexception",
    "-p",
    "no:threadexception",
    "-p",
    "no:terminal",
)


class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports the module under test: it is found when a test file asks for it."""

    def __init__(
        self, name: str, host: _unit_tests_host.Host, public: list[str], seconds: float
    ) -> None:
        self._name, self._host, self._public, self._seconds = name, host, public, seconds

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        return importlib.machinery.ModuleSpec(name, self) if name == self._name else None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        self._host.allow(self._seconds)
        self._host.hello()
        return _unit_tests_proxy.Module(self._name, self._host, self._public)

    def exec_module(self, module: types.ModuleType) -> None:
        pass


class Recorder:
    """A pytest plug-in that writes down what came of each test."""

    def __init__(self, host: _unit_tests_host.Host, told: dict[str, Any]) -> None:
        self._host, self._told = host, told
        self._out = os.dup(1)
        self._passed: set[str] = set()
        self._why = ""
        self._errors: list[str] = []

    def write(self, **entry: Any) -> None:
        line = json.dumps({"nonce": self._told["nonce"], **entry})
        # The tests may have left half a line there.
        with open(self._out, "w", encoding="ascii", closefd=False) as out:
            out.write(f"\n{line}\n")

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        self.write(collected=[item.nodeid for item in items])
        done = set(self._told["done"])
        items[:] = [item for item in items if item.nodeid not in done]

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if not report.passed:
            self._errors.append(self._host.fault or report.outcome)

    def pytest_exception_interact(self, call: pytest.CallInfo[Any], report: Any) -> None:
        if isinstance(report, pytest.CollectReport) and call.excinfo is not None:
            error = call.excinfo.value
            self._errors.append(self._host.fault or _told(error.__cause__ or error))

    def pytest_sessionstart(self, session: pytest.Session) -> None:
        self._session = session

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        # A fault that stands already happened outside of any test: this one pays for it.
        self._host.allow(self._told["test_s"])
        self._passed.clear()
        self._why = ""

    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[Any]) -> None:
        if call.excinfo is not None:
            self._why = self._why or call.excinfo.typename[:80]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.outcome != "passed" or hasattr(report, "wasxfail"):
            self._why = self._why or report.outcome
        else:
            self._passed.add(report.when or "")

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        whole = self._passed == {"setup", "call", "teardown"}
        why = self._host.fault or self._why or ("" if whole else "it did not run whole")
        self.write(test=nodeid, passed=not why, why=why, touched=self._host.touched())
        self._host.fault = self._host.gone
        if self._host.gone:
            self._session.shouldstop = "the module is gone"

    def end(self, status: int) -> None:
        """The last line."""
        stray = self._host.fault if self._host.fault != self._host.gone else ""
        errors = [stray] if stray else self._errors[:1]
        self.write(end=status, never_met=self._host.never_met, errors=errors)


def _told(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]


def main(told: dict[str, Any]) -> None:
    """Run the test file; `told` is what the host says of it."""
    for name in [name for name in os.environ if name.startswith("PYTEST")]:
        del os.environ[name]
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    sys.dont_write_bytecode = True
    host = _unit_tests_host.Host(3, told["test_module"])
    sys.meta_path.insert(0, Finder(told["module"], host, told["public"], told["test_s"]))
    recorder = Recorder(host, told)
    status = pytest.main([*_ARGUMENTS, f"{told['test_module']}.py"], plugins=[recorder])
    recorder.end(int(status))
