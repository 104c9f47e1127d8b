"""--link-netns: links that name no network namespace go into that one, as of agents that have a network of their own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from conductor.bpf.maps import open_map
from conductor.model.grants import Access
from tests.real_bpfman.bed import SLOTS
from tests.real_bpfman.space import spaced

if TYPE_CHECKING:
    from tests.e2e.node import Node

pytestmark = [pytest.mark.kernel, pytest.mark.slow]


def manifest(path: Path, interfaces: dict[str, Any]) -> str:
    """Count what comes in by these interfaces."""
    link = {"interfaceSelector": interfaces, "direction": "Ingress"}
    programs = [{"name": "tcx_plain", "type": "TCX", "tcx": {"links": [link]}}]
    kind = {"apiVersion": "ebpfconductor.io/v1alpha1", "kind": "KernelProgram", "metadata": {"name": "there"}}
    return yaml.safe_dump({**kind, "spec": {"bytecode": {"path": str(path)}, "programs": programs}})


def test_links_go_there(node: Node, compiled: Callable[[str], Path]) -> None:
    with spaced() as space:
        netns = f"/proc/{space.process.pid}/ns/net"
        node.start("--kernel", "embedded", "--link-netns", netns)
        node.cli("apply", "-f", "-", stdin=manifest(compiled("real"), {"interfaces": ["v0"]}))
        node.wait_for(lambda: node.json("kernel", "get", "there")["state"] == "Running", "attached")
        (function,) = node.json("kernel", "get", "there")["functions"]
        assert [link["attach"] for link in function["links"]] == [f"v0 ingress in {netns}"]
        space.talk()
        with open_map(node.root / "run/bpf/maps" / str(function["id"]) / "counts", Access.READ) as counts:
            value = counts.lookup(SLOTS["tcx"].to_bytes(4, "little"))
        assert value is not None
        assert int.from_bytes(value, "little") == 1

        node.cli("apply", "-f", "-", stdin=manifest(compiled("real"), {"primaryNodeInterface": True}))
        node.wait_for(
            lambda: "must be named" in node.json("kernel", "get", "there")["message"], "told why nothing is found there"
        )
