"""Pulls that break: the agent is killed in the middle of one, the disk of the cache is full."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e.image_node import begun, filed, put
from tests.fakes.registry import FakeRegistry
from tests.fakes.registry_thread import served_registry

if TYPE_CHECKING:
    from tests.e2e.node import Node

pytestmark = [pytest.mark.kernel, pytest.mark.slow, pytest.mark.timeout(120)]
DRIP = 0.01
"""Seconds for 64 bytes: as slow as a pull may be."""


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    with served_registry() as registry:
        yield registry


def test_an_agent_killed_while_it_pulls_starts_again_and_runs_the_whole(node: Node, registry: FakeRegistry) -> None:
    ref = put(registry, "tools/ticker", size=100_000)
    node.start("--kernel", "none")
    registry.faults.drip = DRIP
    node.cli("load", "wasm", ref, "--timeout", "1s", ok=False)
    node.wait_for(lambda: begun(node), "half a file")
    assert node.json("get", "ticker")["state"] == "Pulling"
    node.kill("agent")
    half = begun(node)
    assert half
    registry.faults.drip = 0.0
    node.wait_ready()
    node.wait_for(lambda: node.running("ticker"), "running")
    assert not any(path.exists() for path in half)
    (image,) = node.json("image", "list")["items"]
    assert (image["inUse"], image["size"] > 100_000) == (True, True)
    assert sum(path.stat().st_size > 50_000 for path in filed(node)) == 1


@pytest.fixture
def cache(node: Node) -> Iterator[Path]:
    """A small file system of memory, for the cache alone."""
    place = node.root / "cache"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m,mode=755", "tmpfs", str(place)], check=True)
    with ExitStack() as stack:
        stack.callback(subprocess.run, ["umount", "-l", str(place)], check=True)
        stack.callback(node.close)
        yield place


def test_a_full_cache_is_told_and_the_agent_lives(node: Node, registry: FakeRegistry, cache: Path) -> None:
    node.start("--kernel", "none")
    small = put(registry, "tools/small")
    node.cli("load", "wasm", small)
    ballast = cache / "ballast"
    ballast.write_bytes(bytes(1 << 19))
    large = put(registry, "tools/large", size=700_000)
    done = node.cli("load", "wasm", large, ok=False)
    assert done.returncode == 1
    assert "StoreFull" in done.stdout
    assert "No space left" in done.stderr  # it is tried again meanwhile: what `get` says comes and goes
    assert node.running("small")
    assert begun(node) == []
    ballast.unlink()
    node.wait_for(lambda: node.running("large"), "running once there was room", 60)
