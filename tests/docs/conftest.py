"""A node for what the documents show."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.node import Node, launched


@pytest.fixture
def node() -> Iterator[Node]:
    """A node of this test alone, not started."""
    with launched() as node:
        yield node
