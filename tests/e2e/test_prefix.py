"""--pin-prefix: the daemon's pins lie elsewhere for the agent, as in two containers."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.e2e.node import Node

pytestmark = [pytest.mark.kernel, pytest.mark.slow]


@pytest.fixture
def places(node: Node) -> Iterator[tuple[Path, Path]]:
    """Where the loader pins, closed to the agent, and where the agent finds the same."""
    theirs, ours = node.root / "closed/bpf", node.root / "open/bpf"
    node.start_loader("--bpffs", str(theirs))
    ours.mkdir(parents=True)
    subprocess.run(["mount", "--bind", theirs, ours], check=True)
    theirs.parent.chmod(0o700)
    try:
        yield theirs.parent, ours.parent
    finally:
        for place in (ours, theirs):
            subprocess.run(["umount", "-l", place], check=True)


def test_maps_are_opened_where_they_lie_for_the_agent(node: Node, places: tuple[Path, Path]) -> None:
    theirs, ours = places
    node.start_agent()
    node.cli("load", "builtin", "service_map")
    waiting = node.json("get", "service_map")
    assert (waiting["state"], waiting["reason"]) == ("Waiting", "MapMissing")
    assert "Permission denied" in waiting["message"]
    node.kill("agent")
    node.apart["agent"].wait(10)
    node.start_agent("--pin-prefix", f"{theirs}={ours}")
    node.wait_for(lambda: node.running("service_map"), "running")
