"""A whole cluster for the tests of this folder; `nox -s node` names its parts."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.real_node.testbed import PARTS, Cluster


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if PARTS not in os.environ:
        left = [item for item in items if item.get_closest_marker("node")]
        config.hook.pytest_deselected(items=left)
        items[:] = [item for item in items if item not in left]


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """The cluster, with nothing of ours installed."""
    with Cluster.running() as cluster:
        yield cluster
