"""The whole of it, by kubectl: programs of the cluster on the real kernel, under the chart's rights and policies."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.charted import apply_rules
from tests.cluster.member import Member, joined
from tests.cluster.testbed import Testbed
from tests.e2e.node import told

pytestmark = [pytest.mark.cluster, pytest.mark.kernel, pytest.mark.slow]
EXAMPLES = Path(__file__).parents[2] / "examples"
NAMESPACE = "whole"
LEASE = ("--lease-duration", "3s")


@pytest.fixture(scope="module")
def member(kinds: Testbed) -> Iterator[Member]:
    """The one node of the cluster, with everything that the chart would bring."""
    apply_rules(kinds, namespace=NAMESPACE)
    kinds.kubectl("delete", "nodes", "--all")
    with joined(kinds, "whole-1", namespace=NAMESPACE) as member:
        member.start(*LEASE)
        yield member


@pytest.fixture
def apply(member: Member) -> Iterator[Any]:
    """Apply examples, and delete them afterwards; nothing is then left in kernel and cluster."""

    def applied(*files: str, **programs: str) -> None:
        for file in files:
            member.bed.kubectl("apply", "-f", str(EXAMPLES / file))
        member.until(**programs)

    yield applied
    member.bed.kubectl("delete", "kp,up", "--all", "--timeout=60s")
    assert member.told() == {}
    assert member.node.is_empty()
    assert "No resources found" in member.bed.kubectl("get", "controllerrevisions", "-n", NAMESPACE)


def status_writes(member: Member) -> int:
    return sum(
        line["objectRef"].get("subresource") == "status"
        for line in member.bed.audited()
        if line["objectRef"]["resource"] == "nodestates" and line["objectRef"].get("name") == member.name
    )


def talk(client: str, server: str, size: int) -> None:
    """Send bytes by TCP from one end of a pair of network namespaces to the other."""
    listen = "import socket as s; c = s.create_server(('10.77.0.2', 5432)).accept()[0]\nwhile c.recv(65536): pass"
    send = f"import socket as s; c = s.create_connection(('10.77.0.2', 5432)); c.sendall(bytes({size})); c.close()"
    with subprocess.Popen(["ip", "netns", "exec", server, sys.executable, "-c", listen]) as listening:
        while subprocess.run(["ip", "netns", "exec", client, sys.executable, "-c", send], check=False).returncode:
            assert listening.poll() is None
        assert listening.wait(20) == 0


def pod(bed: Testbed, name: str, ip: str, owner: str, **labels: str) -> None:
    """Have a pod's object, as kubelet and controllers would leave it; nothing runs."""
    kind, _, above = owner.partition("/")
    reference = {"apiVersion": "apps/v1", "kind": kind, "name": above, "uid": "1", "controller": True}
    pods = "/api/v1/namespaces/default/pods"
    spec = {"nodeName": "elsewhere", "containers": [{"name": "app", "image": "none"}]}
    metadata = {"name": name, "ownerReferences": [reference], "labels": labels}
    made = bed.have(pods, {"metadata": metadata, "spec": spec})
    status = {"phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}], "hostIP": "192.0.2.1"}
    bed.call("PUT", f"{pods}/{name}/status", {**made, "status": status})


def test_both_ends_of_a_connection_have_the_names_of_their_workloads(
    member: Member, apply: Any, veth: Callable[[], tuple[str, str]]
) -> None:
    pod(member.bed, "web-5d4f-x", "10.77.0.1", "ReplicaSet/web-5d4f", **{"pod-template-hash": "5d4f"})
    pod(member.bed, "db-0", "10.77.0.2", "StatefulSet/db")
    apply("service-map.yaml", **{"service-map": "Running"})
    left, right = veth()
    talk(left, right, 1_000_000)

    def named() -> bool:
        ends = {"client_name": "web", "client_kind": "Deployment", "server_name": "db", "server_kind": "StatefulSet"}
        found = told(member.node.series("?program=service-map"), "service_map_sent_bytes_total", role="client", **ends)
        return found == 1_000_000

    member.node.wait_for(named, "named")


def test_both_halves_run_on_the_real_kernel_within_seconds(
    member: Member, apply: Any, veth: Callable[[], tuple[str, str]]
) -> None:
    began, before = time.monotonic(), status_writes(member)
    apply("kernel-program.yaml", "granted-maps.yaml", **{"tcp-pairs": "Running", "tcp-map": "Running"})
    assert time.monotonic() - began < 30
    assert status_writes(member) - before <= 4, "two objects were applied: two writes each at most"
    talk(*veth(), 1000)
    member.node.wait_for(
        lambda: told(member.node.series("?program=tcp-map"), "service_map_connections_opened_total") > 0, "data"
    )


def test_kubectl_tells_the_story(member: Member, apply: Any) -> None:
    apply("user-program.yaml", pressure="Running")
    bed = member.bed
    bed.kubectl("wait", "--for=condition=Ready", "up/pressure", "--timeout=60s")
    shown = bed.kubectl("get", "kp,up")
    assert "READY" in shown
    assert "pressure" in shown
    assert "RolloutStarted" in bed.kubectl("describe", "up", "pressure")
    assert "Where it stands" in bed.kubectl("explain", "nodestates.status.programs.state")
    agent = member.state()["status"]["agent"]
    assert (agent["road"], agent["flavour"], agent["ready"]) == ("embedded", "loader", True)


def test_the_agent_has_no_rights_on_the_machine(member: Member) -> None:
    status = Path(f"/proc/{member.node.pid('agent')}/status").read_text()
    fields = dict(line.split(":\t", 1) for line in status.splitlines())
    assert fields["Uid"].split() == ["65532"] * 4
    assert {fields[name] for name in ("CapPrm", "CapEff", "CapBnd", "CapInh")} == {"0" * 16}


def test_a_file_of_the_node_is_refused_with_the_reason_in_the_status(member: Member, apply: Any) -> None:
    manifest = {
        "apiVersion": "ebpfconductor.io/v1alpha1",
        "kind": "UserProgram",
        "metadata": {"name": "file"},
        "spec": {"source": {"wasm": {"path": "/etc/passwd"}}},
    }
    member.bed.kubectl("apply", "-f", "-", stdin=json.dumps(manifest))
    apply(file="Failed PathNotAllowed")
    member.node.wait_for(lambda: "PathNotAllowed" in member.bed.kubectl("describe", "up", "file"), "told in the status")


def test_a_pull_secret_that_is_not_listed_is_refused(member: Member, apply: Any) -> None:
    digest = "sha256:" + "0" * 64
    image = {"url": f"registry.invalid/tool@{digest}", "pullSecret": "secret-of-others"}
    manifest = {
        "apiVersion": "ebpfconductor.io/v1alpha1",
        "kind": "UserProgram",
        "metadata": {"name": "private"},
        "spec": {"source": {"wasm": {"image": image}}},
    }
    member.bed.kubectl("apply", "-f", "-", stdin=json.dumps(manifest))
    apply(private="Failed PullSecretNotAllowed")


def test_the_api_server_goes_and_comes_back(member: Member, apply: Any) -> None:
    apply("service-map.yaml", **{"service-map": "Running"})
    node, before = member.node, status_writes(member)
    with member.bed.stopped():
        node.wait_for(lambda: "the API server is away" in node.get("/readyz"), "told")
        assert node.running("service-map")
        os.kill(node.apart["agent"].pid, 9)
        node.apart["agent"].wait()
        member.start_agent(*LEASE)
        node.wait_for(lambda: node.running("service-map"), "running without an API server")
        assert told(node.series(), "conductor_cluster_connected") == 0
    node.wait_for(lambda: told(node.series(), "conductor_cluster_connected") == 1, "connected", 60)
    node.wait_for(lambda: told(node.series(), "conductor_leader") == 1, "leading", 60)
    time.sleep(2)
    assert member.told() == {"service-map": "Running"}
    assert status_writes(member) - before <= 1, "nothing changed but the agent's own restart"
