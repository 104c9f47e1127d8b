"""What an uninstall leaves: in the kernel, on the node, in the cluster; with the kinds kept, and without."""

from __future__ import annotations

import pytest

from tests.real_node.release import NAMESPACE, RUN, Release
from tests.real_node.testbed import Cluster

pytestmark = [pytest.mark.node, pytest.mark.kernel, pytest.mark.slow, pytest.mark.timeout(300)]
RULES = "clusterroles,clusterrolebindings,validatingadmissionpolicies,validatingadmissionpolicybindings"
INSIDE = "all,cm,sa,roles,rolebindings,leases,controllerrevisions,secrets"


def left_in_cluster(cluster: Cluster) -> set[str]:
    """Names of everything that speaks of us, but the namespace that Helm made."""
    inside = cluster.kubectl("get", INSIDE, "-n", NAMESPACE, "-o", "name").split()
    outside = cluster.kubectl("get", f"{RULES},crds,pv,priorityclasses", "-o", "name").split()
    roles = cluster.kubectl("get", "roles,rolebindings", "-n", "default", "-o", "name").split()
    own = {"configmap/kube-root-ca.crt", "serviceaccount/default"}
    return {name for name in inside if name not in own} | {
        name for name in (*outside, *roles) if "ebpfconductor" in name
    }


def left_in_kernel(release: Release) -> set[int]:
    loaded = {
        int(line.split(":")[0])
        for line in release.cluster.machine.run("bpftool", "prog", "show").splitlines()
        if line[0].isdigit()
    }
    return release.seen & loaded


def left_on_disk(cluster: Cluster) -> set[str]:
    found = cluster.machine.run(
        "find", RUN, "/var/lib/ebpfconductor", "/var/cache/ebpfconductor", "-type", "f", "-o", "-type", "s"
    )
    return {line for line in found.split() if not line.endswith(".debug")}


def crds(cluster: Cluster) -> set[str]:
    return {name for name in cluster.kubectl("get", "crds", "-o", "name").split() if "ebpfconductor" in name}


def test_with_the_kinds_kept_what_people_wrote_stays(release: Release, cluster: Cluster) -> None:
    release.have("agent.leaseDuration=3s")
    release.example("service-map.yaml", "kernel-program.yaml")
    release.until(service_map="Running", tcp_pairs="Running")
    assert release.programs()
    release.uninstall()
    assert left_in_kernel(release) == set()
    assert release.pins() == set()
    assert left_in_cluster(cluster) == crds(cluster)
    assert len(crds(cluster)) == 3
    kept = {(one["kind"], one["metadata"]["name"]): one for one in cluster.items("kp,up,nst")}
    assert set(kept) == {("UserProgram", "service-map"), ("KernelProgram", "tcp-pairs")}
    assert [one["metadata"].get("finalizers") for one in kept.values()] == [None, None]
    print("on the node's disk:", *sorted(left_on_disk(cluster)))


def test_installed_again_it_runs_what_was_kept(release: Release) -> None:
    release.install("agent.leaseDuration=3s", "crds.keep=false")
    release.until(service_map="Running", tcp_pairs="Running")


def test_without_the_kinds_nothing_stays(release: Release, cluster: Cluster) -> None:
    release.uninstall()
    assert left_in_kernel(release) == set()
    assert release.pins() == set()
    assert left_in_cluster(cluster) == set()
    assert "ebpfconductor.io" not in cluster.kubectl("api-versions")
