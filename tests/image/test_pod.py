"""The chart's pod from our image, on this kernel, in a cluster with a real API server: from the hook to traffic."""

from __future__ import annotations

import json
import os
import socket
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.chart.rendered import rendered
from tests.cluster.testbed import Testbed
from tests.e2e.node import free_port
from tests.image.pod import Pod, running

pytestmark = [pytest.mark.image, pytest.mark.cluster, pytest.mark.kernel, pytest.mark.slow, pytest.mark.timeout(300)]
NAMESPACE, NODE, USER = "imaged", "imaged-node", 65532
FLOWS = {
    "apiVersion": "ebpfconductor.io/v1alpha1",
    "kind": "UserProgram",
    "metadata": {"name": "flows"},
    "spec": {"source": {"builtin": "service_map"}, "config": {"interval": 1, "loopback": True}},
}


@pytest.fixture
def pod(testbed: Testbed, image: Path) -> Iterator[Pod]:
    """The pod, not started, and the objects of the chart at the API server."""
    with tempfile.TemporaryDirectory(prefix="pod-", dir="/var/tmp") as folder:
        root = Path(folder)
        paths = {name: str(root / name) for name in ("run", "state", "cache", "kubelet")}
        values: dict[str, Any] = {
            "paths": {**paths, "bpfmanRun": str(root / "bpfman"), "bpfmanSocket": str(root / "bpfman-sock")},
            "http": {"port": free_port()},
            "apiServer": {"host": "127.0.0.1", "port": testbed.port},
            "agent": {"logFormat": "text"},
        }
        documents = rendered(values, namespace=NAMESPACE)
        apply(testbed, documents)
        pod = Pod(root=root, image=image, documents=documents, node=NODE, namespace=NAMESPACE)
        with running(pod):
            yield pod
        assert not os.path.ismount(root / "run")


def apply(bed: Testbed, documents: list[dict[str, Any]]) -> None:
    bed.have("/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
    for document in documents:
        if not document["kind"].startswith(("Cluster", "Validating")):
            document["metadata"].setdefault("namespace", NAMESPACE)
    wanted = [one for one in documents if one["kind"] not in {"Pod", "Job", "DaemonSet"}]
    bed.kubectl("apply", "-f", "-", stdin="\n---\n".join(map(json.dumps, wanted)))


def token(pod: Pod, bed: Testbed, account: str) -> Path:
    """What the kubelet gives to a pod of this account on this node."""
    folder = pod.root / f"token-{account}"
    folder.mkdir()
    (folder / "token").write_text(bed.token(NODE, account=account, namespace=NAMESPACE))
    (folder / "ca.crt").write_bytes(bed.authority.read_bytes())
    (folder / "namespace").write_text(NAMESPACE)
    return folder


def places(pod: Pod) -> list[str]:
    """The flags of the agent that say where things lie."""
    (agent,) = [one for one in pod.spec["containers"] if one["name"] == "agent"]
    return [
        word
        for word in agent["args"]
        if word.startswith(("--agent", "--loader", "--bpffs", "--state", "--cache", "--http"))
    ]


def page(pod: Pod, path: str) -> tuple[int, str]:
    (port,) = [one["containerPort"] for c in pod.spec["containers"] for one in c.get("ports", ())]
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError as error:
        return 0, str(error)


def until(holds: Callable[[], Any], pod: Pod, what: str, seconds: float = 60) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := holds():
            return found
        time.sleep(0.2)
    raise AssertionError(f"not {what} after {seconds:g} s: {page(pod, '/readyz')}\n{pod.log[-4000:]}")


def talk() -> None:
    """A kilobyte by TCP over loopback."""
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as one:
        other, _ = server.accept()
        with other:
            one.sendall(b"x" * 1024)
            other.recv(2048)


def status(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}


def test_from_the_hook_to_traffic_on_the_page(testbed: Testbed, pod: Pod) -> None:
    pod.token = token(pod, testbed, "ours-ebpfconductor-crds")
    pod.hook()
    pod.token = token(pod, testbed, "ours-ebpfconductor")
    pod.prepare()
    pod.start("loader")
    pod.start("agent")
    until(lambda: page(pod, "/readyz")[0] == 200, pod, "ready")

    agent = status(pod.pid("agent"))
    assert agent["Uid"].split() == [str(USER)] * 4
    assert {agent[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}
    assert (agent["NoNewPrivs"], agent["Seccomp"]) == ("1", "2")

    findings = json.loads(pod.inside("agent", "conductor", "doctor", *places(pod), "-o", "json"))["items"]
    told = {one["name"]: one["answer"] for one in findings}
    sure = ("BTF", "libbpf", "loader", "agent", "state folder", "cache folder", "API server")
    assert {name: told[name] for name in sure} == dict.fromkeys(sure, "yes"), findings

    testbed.kubectl("apply", "-f", "-", stdin=json.dumps(FLOWS))

    def state() -> str:
        found = testbed.kubectl("get", "nodestate", NODE, "-o", "json", "--ignore-not-found")
        reports = (json.loads(found).get("status") or {}).get("programs") or [] if found else []
        return "".join(one["state"] for one in reports if one["name"] == "flows")

    try:
        until(lambda: state() == "Running", pod, "running by the cluster's wish")

        def counted() -> bool:
            talk()
            lines = page(pod, "/metrics?program=flows")[1].splitlines()
            return any(line.startswith("service_map_sent_bytes_total{") and float(line.split()[-1]) for line in lines)

        until(counted, pod, "counting traffic")
        assert (pod.root / "run/bpf/maps").is_dir(), "the host does not see the pins"
        pod.stop("agent")
        pod.start("agent")
        until(counted, pod, "counting again")
        pins = sorted(path.name for path in (pod.root / "run/bpf/programs").iterdir())
        pod.stop("loader", "KILL")
        assert sorted(path.name for path in (pod.root / "run/bpf/programs").iterdir()) == pins
        pod.start("loader")
        until(lambda: page(pod, "/readyz")[0] == 200, pod, "ready again")
    finally:
        testbed.kubectl("delete", "userprogram", "flows", "--wait=false", check=False)
    until(lambda: not list((pod.root / "run/bpf/programs").iterdir()), pod, "rid of its programs")
