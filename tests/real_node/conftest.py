"""A whole cluster for the tests of this folder; `nox -s node` names its parts."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.real_node.bed import Bed
from tests.real_node.release import Release
from tests.real_node.testbed import PARTS, Cluster


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if PARTS not in os.environ:
        left = [item for item in items if item.get_closest_marker("node")]
        config.hook.pytest_deselected(items=left)
        items[:] = [item for item in items if item not in left]


@pytest.fixture(scope="session")
def bed() -> Iterator[Bed]:
    """What of the machine was there before, and the cluster until somebody ends it."""
    with Bed.running() as bed:
        yield bed


@pytest.fixture(scope="session")
def cluster(bed: Bed) -> Cluster:
    """The cluster; tests take what they need of the release."""
    return bed.cluster


@pytest.fixture(scope="session")
def release(bed: Bed) -> Release:
    """The chart on it: every file says with which values by `have`."""
    return bed.release
