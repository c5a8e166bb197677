"""Tests of a verifier whose library is not installed are skipped by name."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _library(request: pytest.FixtureRequest) -> None:
    if "reasoning_gym" in request.node.name:
        pytest.importorskip("reasoning_gym", reason="needs the `gym` extra: make test says how")
