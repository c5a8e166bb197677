"""The sandboxes of this machine, one per tier, each brought up once per module."""

from __future__ import annotations

import os
from collections.abc import Iterator
from unittest import mock

import pytest

from factory.errors import SandboxError
from factory.sandbox import open_sandbox
from factory.sandbox.box import Sandbox

SECRET = "sesame-" + "open"


@pytest.fixture(scope="module", params=["namespaces", "landlock"])
def local(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    """A sandbox of each tier that this machine can give; the worker around it has a secret."""
    with mock.patch.dict(os.environ, {"HF_TOKEN": SECRET, "AWS_SECRET_ACCESS_KEY": SECRET}):
        try:
            made = open_sandbox(request.param)
            sandbox = made.__enter__()
        except SandboxError as error:
            pytest.skip(str(error))
        try:
            yield sandbox
        finally:
            made.__exit__(None, None, None)
