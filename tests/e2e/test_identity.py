"""Who an agent is to its loader: an id in its state directory, whatever the host is called."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e.node import links_of, programs_of

if TYPE_CHECKING:
    from tests.e2e.node import Node

pytestmark = [pytest.mark.kernel, pytest.mark.slow]


def ids(node: Node) -> set[int]:
    return {program["id"] for program in programs_of(node)}


def test_renamed_host_finds_its_programs(node: Node) -> None:
    node.start("--kernel", "embedded", "--keep", "--node-name", "before")
    node.cli("load", "builtin", "service_map")
    node.wait_for(lambda: node.running("service_map"), "running")
    loaded = ids(node)
    assert node.stop() == 0
    node.start("--kernel", "embedded", "--node-name", "after")
    node.wait_for(lambda: node.running("service_map"), "running again")
    assert ids(node) == loaded
    node.wait_for(lambda: node.series()["conductor_kernel_foreign_programs", ()] == 0, "none foreign")
    assert node.series()["conductor_road_calls_total", ()] > 0
    assert ("conductor_kernel_orphans", ()) not in node.series()  # our loader lists what it holds, no more


def test_programs_from_before_the_state_was_lost_are_said_and_left_alone(node: Node) -> None:
    node.start("--kernel", "embedded", "--keep")
    node.cli("load", "builtin", "service_map")
    node.wait_for(lambda: node.running("service_map"), "running")
    loaded, links = ids(node), links_of(node)
    assert node.stop() == 0
    (node.root / "state/agent/identity").unlink()
    for wish in (node.root / "state/agent/wishes").iterdir():
        wish.unlink()
    node.start("--kernel", "embedded")
    node.wait_for(lambda: node.series()["conductor_kernel_foreign_programs", ()] == len(loaded), "counted as foreign")
    assert node.json("kernel", "list") == {"items": []}
    assert (ids(node), links_of(node)) == (loaded, links)
    assert node.log.count("another agent's identity") == 1
