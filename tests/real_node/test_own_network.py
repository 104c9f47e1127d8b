"""`hostNetwork: false` on a real node: the agent has a network of its own, and links go to the host's interfaces all the same."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.real_node.release import Release
from tests.real_node.testbed import NODE, Cluster

pytestmark = [pytest.mark.node, pytest.mark.kernel, pytest.mark.slow, pytest.mark.timeout(300)]
OBJECT = "/var/lib/ebpfconductor/hooks.o"
KIND = {"apiVersion": "ebpfconductor.io/v1alpha1", "kind": "KernelProgram", "metadata": {"name": "watch"}}


def watching(selector: dict[str, Any]) -> dict[str, Any]:
    link = {"interfaceSelector": selector, "direction": "Ingress"}
    programs = [{"name": "on_tcx", "type": "TCX", "tcx": {"links": [link]}}]
    return {**KIND, "spec": {"bytecode": {"path": OBJECT}, "programs": programs}}


def test_a_link_is_on_the_hosts_interface(cluster: Cluster, release: Release, compiled: Callable[[str], Path]) -> None:
    release.have("hostNetwork=false", "agent.allowClusterPaths=true")
    assert release.pod["status"]["podIP"] != release.pod["status"]["hostIP"]
    shutil.copy(compiled("hooks"), cluster.machine.seen(OBJECT))
    cluster.apply(watching({"interfaces": ["node0"]}))
    cluster.until(lambda: release.states().get("watch") == "Running", "attached")
    index = cluster.machine.run("cat", "/sys/class/net/node0/ifindex").strip()
    assert [link.detail["ifindex"] for link in release.links() if link.type == "tcx"] == [int(index)]
    cluster.apply(watching({"primaryNodeInterface": True}))
    cluster.until(lambda: "must be named" in cluster.kubectl("get", "nst", NODE, "-o", "yaml"), "told why")
    cluster.kubectl("delete", "kp", "watch", "--timeout=60s")
    cluster.machine.seen(OBJECT).unlink()
