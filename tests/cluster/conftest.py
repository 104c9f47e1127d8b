"""Fixtures of tests that need our kinds at a real API server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cluster.charted import apply_kinds
from tests.cluster.testbed import Testbed


@pytest.fixture(scope="session")
def kinds(testbed: Testbed) -> Testbed:
    """The testbed with our kinds served."""
    apply_kinds(testbed)
    return testbed


@pytest.fixture(scope="session")
def fleet_bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Testbed]:
    """A cluster of its own for leaders: they would give work to all nodes that other tests made."""
    with Testbed.running(tmp_path_factory.mktemp("fleet")) as bed:
        apply_kinds(bed)
        yield bed
