"""What doctor says of the leader's fence, and what an API server does that forgot our policies once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from conductor.cli.checks import Answer, Finding
from conductor.cli.cluster_checks import cluster
from conductor.config import Config
from tests.builtin.world import eventually
from tests.cluster.charted import LEASE, apply_kinds, apply_rules, documents_of
from tests.cluster.test_policies import lease
from tests.cluster.testbed import Testbed

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.timeout(120)]
NAMESPACE = "fenced"
LEASES = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases"
PLACES = {"name": f"ebpfconductor-{NAMESPACE}", "namespace": NAMESPACE, "serviceAccount": "agent", "lease": LEASE}


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Testbed]:
    """An API server of its own: what is done to it here cannot be undone."""
    with Testbed.running(tmp_path_factory.mktemp("fenced")) as bed:
        apply_kinds(bed)
        apply_rules(bed, namespace=NAMESPACE)
        yield bed


def told(kubeconfig: Path, node: str) -> Finding:
    flags = {"kubeconfig": str(kubeconfig), "node_name": node, "namespace": NAMESPACE}
    found = {finding.name: finding for finding in cluster(Config.parse(flags=flags, environ={}, file={}))}
    assert "leader's fence" in found, found
    return found["leader's fence"]


def by_agent(bed: Testbed, node: str) -> Finding:
    return told(bed.agent(node, namespace=NAMESPACE), node)


def led_by(bed: Testbed, node: str) -> None:
    bed.kubectl("delete", "lease", LEASE, "-n", NAMESPACE, "--ignore-not-found")
    bed.call("POST", LEASES, lease(f"{node}/u"))


def test_it_holds_where_the_leader_alone_may_write(bed: Testbed) -> None:
    assert "nobody leads" in by_agent(bed, "n1").detail
    led_by(bed, "n1")
    eventually(lambda: by_agent(bed, "n2").answer, Answer.YES)
    assert by_agent(bed, "n2").detail == "n1 leads, and this node is refused"
    assert by_agent(bed, "n1") == Finding(
        area="cluster", name="leader's fence", answer=Answer.YES, detail="n1, this node, leads"
    )


def test_of_an_administrator_nothing_can_be_told(bed: Testbed) -> None:
    led_by(bed, "n1")
    finding = told(bed.admin, "n1")
    assert (finding.answer, "no node's" in finding.detail) == (Answer.UNKNOWN, True)


def test_a_server_that_forgot_the_policies_once_goes_by_an_old_lease(bed: Testbed) -> None:
    led_by(bed, "n1")
    eventually(lambda: by_agent(bed, "n2").answer, Answer.YES)
    policies = "\n---\n".join(map(json.dumps, documents_of("policies.yaml", **PLACES)))
    bed.kubectl("delete", "-f", "-", stdin=policies)
    eventually(lambda: by_agent(bed, "n2").answer, Answer.NO)
    assert "apply the chart's policies" in by_agent(bed, "n2").detail
    led_by(bed, "n2")
    apply_rules(bed, namespace=NAMESPACE)
    leader, other = by_agent(bed, "n2"), by_agent(bed, "n1")
    assert (leader.answer, other.answer) == (Answer.NO, Answer.NO), (
        "it follows Leases again: kubernetes#130887 is mended"
    )
    assert "start kube-apiserver anew" in leader.detail
    with bed.stopped():
        pass
    eventually(lambda: [by_agent(bed, node).answer for node in ("n1", "n2")], [Answer.YES] * 2)
