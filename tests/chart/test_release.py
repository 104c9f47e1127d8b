"""A release's life by Helm at a real API server, with a real node: what each step leaves in kernel and cluster."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.chart.errands import Errands, running
from tests.chart.rendered import CHART, helm
from tests.cluster.member import Member, joined
from tests.cluster.testbed import Testbed

pytestmark = [pytest.mark.cluster, pytest.mark.kernel, pytest.mark.slow, pytest.mark.timeout(300)]
NAMESPACE, NODE = "released", "released-1"
PROGRAM = {
    "apiVersion": "ebpfconductor.io/v1alpha1",
    "kind": "UserProgram",
    "metadata": {"name": "released"},
    "spec": {"source": {"builtin": "service_map"}, "nodeSelector": {"matchLabels": {"here": "released"}}},
}
WORDS = ("--namespace", NAMESPACE, "--set", "serviceAccount.name=agent")


@pytest.fixture
def errands(testbed: Testbed) -> Iterator[Errands]:
    """Somebody who runs the jobs of the namespace."""
    testbed.have("/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
    testbed.kubectl("delete", "nodes", "--all")
    with running(testbed, NAMESPACE) as errands:
        yield errands
    testbed.kubectl("delete", "nodes", "--all")


def release(bed: Testbed, *words: str) -> None:
    done = helm(*words, kubeconfig=bed.admin)
    assert done.returncode == 0, done.stdout + done.stderr


def runs(member: Member) -> bool:
    return member.told() == {"released": "Running"}


def test_installed_upgraded_and_uninstalled(testbed: Testbed, errands: Errands) -> None:
    bed = testbed
    release(bed, "upgrade", "--install", "ours", str(CHART), *WORDS)
    assert "kernelprograms.ebpfconductor.io" in errands.said["ours-ebpfconductor-crds"]
    with joined(bed, NODE, namespace=NAMESPACE) as member:
        bed.kubectl("label", "node", NODE, "here=released", "--overwrite")
        member.start("--lease-duration", "3s")
        bed.kubectl("apply", "-f", "-", stdin=json.dumps(PROGRAM))
        member.until(released="Running")
        assert not member.node.is_empty()

        errands.said.clear()
        release(bed, "upgrade", "ours", str(CHART), *WORDS, "--set", "http.port=9999", "--set", "withdraw.patience=60")
        assert errands.said["ours-ebpfconductor-crds"].count("unchanged") == 3
        assert runs(member)

        release(bed, "uninstall", "ours", "--namespace", NAMESPACE)
        assert list(errands.said) == [f"ours-ebpfconductor-{name}" for name in ("crds", "withdraw", "finish")]
        assert "did not say" not in errands.said["ours-ebpfconductor-withdraw"]
        assert member.node.is_empty(), "something is left in the kernel"
        assert member.state() == {}

    left = bed.kubectl("get", "all,cm,sa,roles,rolebindings,leases,controllerrevisions", "-n", NAMESPACE, "-o", "name")
    assert [line for line in left.splitlines() if "kube-root-ca" not in line and "default" not in line] == []
    rules = "clusterroles,clusterrolebindings,validatingadmissionpolicies,validatingadmissionpolicybindings"
    assert "ours-ebpfconductor" not in bed.kubectl("get", rules, "-o", "name")
    kept = json.loads(bed.kubectl("get", "up/released", "-o", "json"))
    assert kept["metadata"].get("finalizers") is None
    bed.kubectl("delete", "up/released", "--timeout=20s")


@pytest.mark.usefixtures("errands")
def test_installed_again_it_leads_again(testbed: Testbed) -> None:
    """An API server that forgot our policies once goes on with the Lease that it saw last: that must be none."""
    bed = testbed
    for _ in range(2):
        release(bed, "upgrade", "--install", "ours", str(CHART), *WORDS)
        with joined(bed, NODE, namespace=NAMESPACE) as member:
            bed.kubectl("label", "node", NODE, "here=released", "--overwrite")
            member.start("--lease-duration", "3s")
            bed.kubectl("apply", "-f", "-", stdin=json.dumps(PROGRAM))
            member.until(released="Running")
            release(bed, "uninstall", "ours", "--namespace", NAMESPACE)
    bed.kubectl("delete", "up/released", "--timeout=20s")
