"""What docs/install.md promises, on a real node: installed, used, upgraded, by the chart's default values."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.node import told
from tests.real_node.release import CHART, NAME, NAMESPACE, Release
from tests.real_node.shelf import Shelf
from tests.real_node.testbed import Cluster
from tests.real_node.workloads import deployment, pod_of, talk

pytestmark = [pytest.mark.node, pytest.mark.kernel, pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module", autouse=True)
def installed(cluster: Cluster, release: Release) -> Iterator[None]:
    """The chart by its default values, with two deployments of others beside it."""
    cluster.apply(deployment("web"), deployment("db"))
    release.have()
    yield
    cluster.kubectl("delete", "deployment", "web", "db")


def sent(release: Release, role: str) -> float:
    """Bytes from `web` to `db` as one of the ends saw them."""
    ends = {"client_name": "web", "client_kind": "Deployment", "server_name": "db", "server_kind": "Deployment"}
    kind = "sent" if role == "client" else "received"
    return told(release.series("?program=service-map"), f"service_map_{kind}_bytes_total", role=role, **ends)


def settled(release: Release) -> float:
    """Bytes so far: both ends agree, and no reading of the maps is outstanding."""
    release.cluster.until(lambda: sent(release, "client") == sent(release, "server") > 0, "settled")
    time.sleep(1.5)
    return sent(release, "client")


def test_the_pod_is_ready_and_helm_says_so(release: Release) -> None:
    statuses = release.pod["status"]["containerStatuses"]
    assert {one["name"]: one["ready"] for one in statuses} == {"agent": True, "loader": True}
    assert "Phase:          Succeeded" in release.cluster.helm("test", "ebpfconductor", "-n", NAMESPACE)


def test_the_agent_has_no_right_and_alone_the_token(release: Release) -> None:
    lines = Path(f"/proc/{release.pid('agent')}/status").read_text().splitlines()
    agent = {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}
    assert agent["Uid"].split() == ["65532"] * 4
    assert {agent[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}
    assert (agent["NoNewPrivs"], agent["Seccomp"]) == ("1", "2")
    secrets = "/var/run/secrets/kubernetes.io/serviceaccount"
    assert "token" in release.inside("agent", "ls", secrets)
    assert "No such file" in release.cluster.kubectl(
        *("exec", "-n", NAMESPACE, f"ds/{NAME}", "-c", "loader", "--", "ls", secrets), check=False
    )


def test_both_kinds_run_within_seconds_with_data_of_the_kernel(release: Release) -> None:
    began = time.monotonic()
    release.example("kernel-program.yaml", "granted-maps.yaml", "user-program.yaml", "service-map.yaml")
    release.until(tcp_pairs="Running", tcp_map="Running", pressure="Running", service_map="Running")
    running = time.monotonic() - began
    talk(release.cluster, "web", "db", 1000)
    opened = "service_map_connections_opened_total"
    release.cluster.until(lambda: told(release.series("?program=tcp-map"), opened) > 0, "counting")
    print(f"four examples: Running {running:.1f} s after apply, data after {time.monotonic() - began:.1f} s")
    assert running < 20


def test_both_ends_have_the_names_of_their_workloads(release: Release) -> None:
    before = settled(release)
    talk(release.cluster, "web", "db", 1_000_000)
    wanted = before + 1_000_000
    release.cluster.until(lambda: (sent(release, "client"), sent(release, "server")) == (wanted, wanted), "named")


def test_kubectl_tells_the_story(release: Release) -> None:
    cluster = release.cluster
    cluster.kubectl("wait", "--for=condition=Ready", "kp/tcp-pairs", "up/pressure", "--timeout=60s")
    shown = cluster.kubectl("get", "kp,up,nst")
    assert {"tcp-pairs", "pressure", "service-map", "node-1", "embedded"} <= set(shown.replace("/", " ").split())
    described = cluster.kubectl("describe", "up", "pressure")
    assert "RolloutStarted" in described
    assert "Ready" in described
    assert "Where it stands" in cluster.kubectl("explain", "nodestates.status.programs.state")


def test_a_link_by_default_values_is_on_the_hosts_interface(release: Release, compiled: Callable[[str], Path]) -> None:
    cluster = release.cluster
    with Shelf.open(cluster.machine) as shelf:
        url = shelf.put_object("hooks", compiled("hooks"), on_tcx="tcx")
        selector = {"interfaceSelector": {"primaryNodeInterface": True}, "direction": "Ingress"}
        program = {"name": "on_tcx", "type": "TCX", "tcx": {"links": [selector]}}
        kind = {"apiVersion": "ebpfconductor.io/v1alpha1", "kind": "KernelProgram", "metadata": {"name": "watch"}}
        cluster.apply({**kind, "spec": {"bytecode": {"image": {"url": url}}, "programs": [program]}})
        cluster.until(lambda: release.states().get("watch") == "Running", "attached")
    index = cluster.machine.run("cat", "/sys/class/net/node0/ifindex").strip()
    assert [link.detail["ifindex"] for link in release.links() if link.type == "tcx"] == [int(index)]
    cluster.kubectl("delete", "kp", "watch", "--timeout=60s")
    assert [link for link in release.links() if link.type == "tcx"] == []


def test_counters_go_on_through_an_upgrade(release: Release) -> None:
    cluster = release.cluster
    talk(cluster, "web", "db", 50_000)
    first, programs, pod = settled(release), release.programs(), release.pod["metadata"]["name"]
    assert programs
    cluster.helm("upgrade", "ebpfconductor", str(CHART), "-n", NAMESPACE, "--set", "image.tag=next")
    wanted, seen = first, [first]
    while "successfully" not in cluster.kubectl(
        *("-n", NAMESPACE, "rollout", "status", "ds/ebpfconductor", "--timeout=1s"), check=False
    ):
        talk(cluster, "web", "db", 1000)  # while there is no agent, too
        wanted += 1000
    assert release.pod["metadata"]["name"] != pod

    def caught_up() -> bool:
        if (shown := sent(release, "client")) == 0:
            return False  # no such row yet: an agent that starts waits for names
        seen.append(shown)
        assert seen[-1] == wanted, f"{seen} and not {wanted}"
        return True

    cluster.until(caught_up, "counting on", 30)
    assert seen == sorted(seen), "a counter went down"
    assert release.programs() == programs, "a program was loaded anew"
    print(f"upgraded: kernel programs {sorted(programs)} stayed; the counter went from {first:.0f} to {wanted:.0f}")


def test_pods_of_others_are_left_alone(release: Release) -> None:
    restarts = [
        pod_of(release.cluster, name)["status"]["containerStatuses"][0]["restartCount"] for name in ("web", "db")
    ]
    assert restarts == [0, 0]
