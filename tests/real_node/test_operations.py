"""What happens to nodes: containers killed, memory at its end, a drain, a power cut."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from tests.e2e.node import told
from tests.real_node.release import NAMESPACE, Release
from tests.real_node.testbed import NODE, Cluster
from tests.real_node.workloads import deployment, pod_of, talk

pytestmark = [pytest.mark.node, pytest.mark.kernel, pytest.mark.slow, pytest.mark.timeout(300)]
# Several, each smaller than the agent: the kernel ends the largest.
HOGS = """
import os, time
for _ in range(12):
    if not os.fork():
        hog = bytearray(b"x") * (44 << 20)
        time.sleep(20)
        os._exit(0)
time.sleep(20)
"""


@pytest.fixture(scope="module", autouse=True)
def installed(cluster: Cluster, release: Release) -> Iterator[None]:
    """The chart with a short lease, a program with both halves, and two deployments that talk."""
    cluster.apply(deployment("web"), deployment("db"))
    release.have("agent.leaseDuration=3s")
    release.example("service-map.yaml")
    release.until(service_map="Running")
    yield
    cluster.kubectl("delete", "deployment", "web", "db")


def sent(release: Release) -> float:
    """Bytes from `web` to `db`."""
    page = release.series("?program=service-map")
    return told(page, "service_map_sent_bytes_total", role="client", client_name="web", server_name="db")


def counts(release: Release, size: int) -> None:
    """See that a number of bytes is counted, to the byte."""
    cluster = release.cluster
    cluster.until(lambda: told(release.series(), "conductor_program_up", program="service-map") == 1, "up")
    before = cluster.until(lambda: [sent(release)], "told")[0]
    talk(cluster, "web", "db", size)
    cluster.until(lambda: sent(release) >= before + size, f"counting past {before}")


@pytest.mark.parametrize("container", ["agent", "loader"])
def test_a_killed_container_comes_back_and_what_is_attached_stays(release: Release, container: str) -> None:
    counts(release, 1000)
    programs, total = release.programs(), sent(release)
    assert programs
    os.kill(release.pid(container), signal.SIGKILL)
    assert release.programs() == programs
    talk(release.cluster, "web", "db", 5000)
    release.cluster.until(lambda: release.restarts()[container] == 1, "started again")
    release.cluster.until(lambda: sent(release) == total + 5000, "counting on")
    assert release.programs() == programs
    release.until(service_map="Running")


def test_an_agent_out_of_memory_comes_back_and_what_is_attached_stays(release: Release) -> None:
    cluster, programs, total = release.cluster, release.programs(), sent(release)
    name, before = release.pod["metadata"]["name"], release.restarts()["agent"]
    cluster.kubectl("exec", "-n", NAMESPACE, name, "-c", "agent", "--", "python3", "-c", HOGS, check=False)
    cluster.until(lambda: release.restarts()["agent"] == before + 1, "started again")
    (agent,) = [one for one in release.pod["status"]["containerStatuses"] if one["name"] == "agent"]
    assert agent["lastState"]["terminated"]["reason"] == "OOMKilled"
    assert release.programs() == programs
    talk(cluster, "web", "db", 7000)
    cluster.until(lambda: sent(release) == total + 7000, "counting on")


def test_a_drained_node_keeps_its_programs(release: Release) -> None:
    cluster, programs = release.cluster, release.programs()
    try:
        cluster.kubectl("drain", NODE, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=60s")
        assert release.programs() == programs
        assert release.states() == {"service-map": "Running"}
        assert release.ready()
    finally:
        cluster.kubectl("uncordon", NODE)
    counts(release, 1000)


def test_a_rebooted_node_runs_again_what_was_wished_for(release: Release) -> None:
    cluster, programs = release.cluster, release.programs()
    release.example("kernel-program.yaml", "granted-maps.yaml")
    release.until(service_map="Running", tcp_pairs="Running", tcp_map="Running")
    cluster.machine.crash()
    assert release.gone(programs), "the kernel keeps programs of a machine that is off"
    cluster.stop_node()
    cluster.machine.boot()
    cluster.start_node()
    pod_of(cluster, "web")
    cluster.until(release.ready, "ready", 90)
    release.until(service_map="Running", tcp_pairs="Running", tcp_map="Running")
    assert len(release.programs()) > len(programs)
    assert not release.programs() & programs
    counts(release, 1000)
