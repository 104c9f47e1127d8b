"""Kill agent and loader at random moments: what was asked for runs again, nothing is doubled, nothing leaks."""

from __future__ import annotations

import os
import random
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest

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
    items = node.json("list")["items"]
    kernel = node.json("kernel", "list")["items"]
    if {item["name"] for item in items} != wished or any(item["state"] != "Running" for item in items):
        return False
    functions: list[dict[str, Any]] = [function for half in kernel for function in half["functions"]]
    held = sorted(program["id"] for program in programs_of(node))
    links = [link for function in functions for link in function["links"]]
    return held == sorted(function["id"] for function in functions) and len(links_of(node)) == len(links)


def act(node: Node, chance: random.Random, wished: set[str]) -> None:
    """Ask for something; a call that the kill cut off is asked again until it is answered."""
    name = f"map-{chance.randrange(3)}"
    if name in wished:
        words = ["unload", name]
        wished.discard(name)
    else:
        words = ["load", "builtin", "service_map", "--name", name]
        wished.add(name)
    for _ in range(60):
        done = node.cli(*words, ok=False)
        if done.returncode == 0 or (words[0] == "unload" and "no program" in done.stderr.lower()):
            return
        time.sleep(0.2)
    raise AssertionError(f"{words}: {done.stderr}")


@pytest.mark.parametrize("roles", [("agent",), ("loader",), ("agent", "loader")], ids="+".join)
def test_killed_at_random_moments(node: Node, chance: random.Random, roles: tuple[str, ...]) -> None:
    node.start("--kernel", "embedded")
    wished: set[str] = set()
    for _ in range(ROUNDS):
        delay = chance.uniform(0, 1.2)
        command = f"sleep {delay:.3f}; kill -9 {' '.join(str(node.pid(role)) for role in roles)}"
        with subprocess.Popen(["sh", "-c", command]) as killer:
            act(node, chance, wished)
            killer.wait(10)
        node.wait_for(lambda: settled(node, wished), f"settled to {sorted(wished)}", 45)
    for name in sorted(wished):
        node.cli("unload", name)
    assert not programs_of(node)
    assert not pins_of(node)


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
