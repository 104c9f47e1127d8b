"""Tests that are coroutines are run, each in a loop of its own; what needs the real cosign only where it is named."""

from __future__ import annotations

import asyncio
import inspect
import os

import pytest


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what needs tools that were not given."""
    if {"CONDUCTOR_COSIGN", "CONDUCTOR_CRANE"} <= os.environ.keys():
        return
    left = [item for item in items if item.path.name == "test_cosign.py"]
    if left:
        config.hook.pytest_deselected(items=left)
        items[:] = [item for item in items if item not in left]


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    wanted = inspect.signature(pyfuncitem.obj).parameters
    asyncio.run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in wanted}))
    return True
