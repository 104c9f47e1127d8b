"""Pods by their UID, through the whole of it: a manifest, an agent without rights, the loader, packets counted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from conductor.bpf.maps import open_map
from conductor.model.grants import Access
from tests.managers.cgroup_containers import Pod, pod
from tests.real_bpfman.bed import SLOTS
from tests.real_bpfman.space import spaced

if TYPE_CHECKING:
    from tests.e2e.node import Node

pytestmark = [pytest.mark.kernel, pytest.mark.slow]


@pytest.fixture
def made() -> Iterator[Pod]:
    with pod() as made:
        yield made


def manifest(uid: str, path: Path) -> str:
    """Count what pods receive on v0."""
    interfaces, pods = {"interfaces": ["v0"]}, {"podUIDs": [uid]}
    link = {"interfaceSelector": interfaces, "direction": "Ingress", "networkNamespaces": pods}
    programs = [{"name": "tcx_plain", "type": "TCX", "tcx": {"links": [link]}}]
    spec = {"bytecode": {"path": str(path)}, "programs": programs}
    kind = {"apiVersion": "ebpfconductor.io/v1alpha1", "kind": "KernelProgram", "metadata": {"name": "pods"}}
    return yaml.safe_dump({**kind, "spec": spec})


def counted(node: Node) -> int:
    program = node.json("kernel", "get", "pods")["functions"][0]["id"]
    with open_map(node.root / "run/bpf/maps" / str(program) / "counts", Access.READ) as counts:
        value = counts.lookup(SLOTS["tcx"].to_bytes(4, "little"))
    return 0 if value is None else int.from_bytes(value, "little")


def test_a_pod_is_followed(node: Node, made: Pod, compiled: Callable[[str], Path]) -> None:
    def stands(state: str, reason: str) -> bool:
        shown = node.json("kernel", "get", "pods")
        return (shown["state"], shown["reason"]) == (state, reason)

    node.start("--kernel", "embedded")
    node.cli("apply", "-f", "-", stdin=manifest(made.uid, compiled("real")))
    node.wait_for(lambda: stands("Waiting", "ContainerMissing"), "waiting for the pod")
    with spaced() as space:
        made.take(made.container(), space.process.pid)
        node.wait_for(lambda: stands("Running", ""), "running")
        space.talk()
        assert counted(node) == 1
        ((link,),) = [function["links"] for function in node.json("kernel", "get", "pods")["functions"]]
        assert link["attach"] == f"v0 ingress in /proc/{space.process.pid}/ns/net"
        node.kill("agent")
        node.wait_for(lambda: stands("Running", ""), "running again")
        ((again,),) = [function["links"] for function in node.json("kernel", "get", "pods")["functions"]]
        assert again == link
    node.wait_for(lambda: stands("Waiting", "ContainerMissing"), "waiting again")
