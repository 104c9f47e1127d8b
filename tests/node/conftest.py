"""Tests of the node's side may be coroutines: each runs on an event loop of its own."""

from __future__ import annotations

import asyncio
import inspect
from pathlib import Path

import pytest

from tests.node.world import NodeWorld


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = pyfuncitem._fixtureinfo.argnames
    asyncio.run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names}))
    return True


@pytest.fixture
def world(tmp_path: Path) -> NodeWorld:
    """A node and a cluster, with nothing in either."""
    return NodeWorld(tmp_path)
