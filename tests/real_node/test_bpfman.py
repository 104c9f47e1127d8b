"""bpfman's released daemon in the pod instead of our loader, and back: nothing of one road is left on the other."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.node import told
from tests.real_node.bpfman_image import REPOSITORY, packed
from tests.real_node.release import CHART, NAME, NAMESPACE, Release
from tests.real_node.testbed import Cluster
from tests.real_node.workloads import deployment, talk

BINARY = os.environ.get("CONDUCTOR_BPFMAN_RPC", "")
pytestmark = [
    *(pytest.mark.node, pytest.mark.kernel, pytest.mark.slow, pytest.mark.timeout(400)),
    pytest.mark.skipif(not BINARY, reason="needs bpfman's daemon: `nox -s bpfman` builds it, and then this finds it"),
]
LEASE = "agent.leaseDuration=3s"
# Without this setting the daemon fetches Sigstore's roots from the network on every Load, from a file too.
CONFIG = "[signing]\nverify_enabled = false\n"
VALUES = (LEASE, "road=bpfman", f"bpfman.image.repository={REPOSITORY}", f"bpfman.config={CONFIG}")


@pytest.fixture(scope="module", autouse=True)
def installed(cluster: Cluster, release: Release, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Our loader, bpfman's image, and two deployments that talk."""
    cluster.load(packed(Path(BINARY), cluster.image / "image.tar", tmp_path_factory.mktemp("bpfman")))
    cluster.apply(deployment("web"), deployment("db"))
    release.have(LEASE)
    release.example("service-map.yaml")
    release.until(service_map="Running")
    yield
    cluster.kubectl("delete", "deployment", "web", "db")
    if "assistant" in release.restarts():  # a test failed midway: no other could upgrade from there
        release.uninstall()


def counts(release: Release) -> None:
    """See that traffic is counted."""

    def sent() -> float:
        page = release.series("?program=service-map")
        return told(page, "service_map_sent_bytes_total", role="client", client_name="web", server_name="db")

    before = release.cluster.until(lambda: [sent()], "told")[0]
    talk(release.cluster, "web", "db", 4321)
    release.cluster.until(lambda: sent() >= before + 4321, "counted")


def test_an_upgrade_to_the_other_road_is_refused_with_what_to_do(release: Release) -> None:
    words = ["--namespace", NAMESPACE, "--set", "road=host-bpfman"]
    said = release.cluster.helm("upgrade", NAME, str(CHART), *words, check=False)
    assert "helm uninstall (what people wrote stays), then install with it" in said
    counts(release)


def test_bpfman_serves_what_our_loader_served(release: Release) -> None:
    before = release.programs()
    assert before
    release.uninstall()
    assert release.gone(before)
    release.install(*VALUES)
    release.until(service_map="Running")
    agent = release.cluster.get("nodestate", "node-1")["status"]["agent"]
    assert (agent["road"], agent["flavour"]) == ("bpfman", "bpfman-rust")
    assert release.pins() == set()
    assert maps_of_bpfman(release.cluster) != []
    counts(release)
    release.cluster.until(lambda: told(release.series(), "conductor_program_kernel_runs_total") > 0, "assisted")


def test_an_upgrade_of_the_pod_keeps_what_bpfman_loaded(release: Release) -> None:
    before = maps_of_bpfman(release.cluster)
    release.install(*VALUES, "image.tag=next")
    release.until(service_map="Running")
    counts(release)
    assert maps_of_bpfman(release.cluster) == before


def test_our_loader_serves_again(release: Release) -> None:
    release.uninstall()
    assert maps_of_bpfman(release.cluster) == []
    release.install(LEASE)
    release.until(service_map="Running")
    assert len(release.programs()) == 4
    counts(release)


def maps_of_bpfman(cluster: Cluster) -> list[str]:
    """Folders of maps in bpfman's bpffs on the node: one for each program."""
    return sorted(cluster.machine.run("find", "/run/bpfman/fs/maps", "-mindepth", "1", "-maxdepth", "1").split())
