"""Nodes for tests: one of a test's own, and one that the tests of a module share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.node import Node, launched


@pytest.fixture
def node() -> Iterator[Node]:
    """A node of this test alone, not started."""
    with launched() as node:
        yield node


@pytest.fixture(scope="module")
def shared() -> Iterator[Node]:
    """A node that the tests of a module share: they leave nothing loaded and kill nothing."""
    with launched() as node:
        node.start("--kernel", "embedded")
        yield node


@pytest.fixture
def clean(shared: Node) -> Iterator[Node]:
    """The shared node, with nothing loaded before, and shown to be so afterwards."""
    yield shared
    for status in shared.ask(lambda agent: agent.list()):
        shared.ask(lambda agent, name=status.name: agent.unload(name))  # type: ignore[misc]
    assert shared.is_empty()
