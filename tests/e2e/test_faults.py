"""Kill agent and loader at random moments: what was asked for runs again, nothing is doubled, nothing leaks."""

from __future__ import annotations

import os
import random
import subprocess
import time
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

import pytest

from conductor.errors import AgentStopping, AgentUnreachable, NotFound
from conductor.model.status import State
from tests.e2e.node import links_of, pins_of, programs_of

if TYPE_CHECKING:
    from tests.e2e.node import Node

ROUNDS = int(os.environ.get("CONDUCTOR_FAULT_ROUNDS", "5"))
pytestmark = [pytest.mark.kernel, pytest.mark.slow, pytest.mark.faults, pytest.mark.timeout(60 + 30 * ROUNDS)]


@pytest.fixture
def chance() -> random.Random:
    seed = int(os.environ.get("CONDUCTOR_FAULT_SEED", random.SystemRandom().randrange(1 << 32)))
    print(f"CONDUCTOR_FAULT_SEED={seed} CONDUCTOR_FAULT_ROUNDS={ROUNDS}")
    return random.Random(seed)


def settled(node: Node, wished: set[str]) -> bool:
    """Exactly what was asked for runs, and the kernel holds each function and link of it once."""
    items = node.ask(lambda agent: agent.list())
    if {item.name for item in items} != wished or any(item.state is not State.RUNNING for item in items):
        return False
    functions = [function for half in node.ask(lambda agent: agent.list_kernel()) for function in half.functions]
    links = [link for function in functions for link in function.links]
    held = sorted(program["id"] for program in programs_of(node))
    return held == sorted(function.id for function in functions) and len(links_of(node)) == len(links)


def act(node: Node, chance: random.Random, wished: set[str]) -> None:
    """Ask for something; a call that the kill cut off is asked again until it is answered."""
    name = f"map-{chance.randrange(3)}"
    for _ in range(100):
        try:
            if name in wished:
                with suppress(NotFound):  # it was unloaded, and the answer was lost
                    node.ask(lambda agent: agent.unload(name))
            else:
                node.ask(lambda agent: agent.load(name, builtin="service_map"))
        except (AgentUnreachable, AgentStopping):
            time.sleep(0.2)
        else:
            wished.symmetric_difference_update({name})
            return
    raise AssertionError(f"{name} of {wished} was never answered")


@pytest.mark.parametrize("roles", [("agent",), ("loader",), ("agent", "loader")], ids="+".join)
def test_killed_at_random_moments(node: Node, chance: random.Random, roles: tuple[str, ...]) -> None:
    node.start("--kernel", "embedded")
    wished: set[str] = set()
    for _ in range(ROUNDS):
        pids = [str(node.wait_for(partial(node.pid, role), role)) for role in roles]
        command = f"sleep {chance.uniform(0, 1):.3f}; kill -9 {' '.join(pids)}"
        with subprocess.Popen(["sh", "-c", command]) as killer:
            while killer.poll() is None:
                act(node, chance, wished)
        node.wait_for(lambda: settled(node, wished), f"settled to {sorted(wished)}", 45)
    for name in sorted(wished):
        node.cli("unload", name)
    node.wait_for(lambda: not programs_of(node) and not pins_of(node), "empty")  # the loader may be starting still


@pytest.mark.parametrize("damage", [b"", b'{"version": 1, "wi', b"\xff\xfe garbage"], ids=["empty", "torn", "garbage"])
def test_damaged_wishes_are_kept_aside_and_told(node: Node, damage: bytes) -> None:
    node.start("--kernel", "none")
    node.cli("load", "builtin", "host_pressure")
    assert node.stop() == 0
    files = [
        path for path in (node.root / "state/agent/wishes").glob("*.json") if b"host_pressure" in path.read_bytes()
    ]
    assert len(files) == 1
    files[0].write_bytes(damage)
    node.start("--kernel", "none")
    assert [path.read_bytes() for path in files[0].parent.glob(f"{files[0].name}.bad-*")] == [damage]
    assert f"kept as {files[0].name}.bad-" in node.get("/readyz")
    node.cli("load", "builtin", "host_pressure")
    node.wait_for(lambda: node.running("host_pressure"), "running")
