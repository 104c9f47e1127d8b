"""Fixtures of tests that need our kinds at a real API server."""

from __future__ import annotations

import pytest

from tests.cluster.charted import apply_kinds
from tests.cluster.testbed import Testbed


@pytest.fixture(scope="session")
def kinds(testbed: Testbed) -> Testbed:
    """The testbed with our kinds served."""
    apply_kinds(testbed)
    return testbed
