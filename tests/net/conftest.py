"""Network namespaces for tests, gone when the test is over."""

from __future__ import annotations

import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def netns() -> Iterator[Path]:
    """Make a namespace with a veth pair `in0`/`in1`, both up."""
    name = f"b-{secrets.token_hex(4)}"
    run = ["ip", "netns", "exec", name, "ip"]
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        subprocess.run([*run, "link", "add", "in0", "type", "veth", "peer", "name", "in1"], check=True)
        for device in ("lo", "in0", "in1"):
            subprocess.run([*run, "link", "set", device, "up"], check=True)
        yield Path("/run/netns") / name
    finally:
        subprocess.run(["ip", "netns", "del", name], check=True)
