"""Around an uninstall, at a real API server with a real node: what is asked for stays, and nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chart.rendered import named, rendered
from tests.cluster.charted import apply_rules
from tests.cluster.member import Member, joined
from tests.cluster.testbed import Testbed

pytestmark = [pytest.mark.cluster, pytest.mark.kernel, pytest.mark.slow, pytest.mark.timeout(180)]
NAMESPACE, NODE = "leaving", "leaving-1"
PROGRAM = {
    "apiVersion": "ebpfconductor.io/v1alpha1",
    "kind": "UserProgram",
    "metadata": {"name": "leaving"},
    "spec": {"source": {"builtin": "host_pressure"}, "nodeSelector": {"matchLabels": {"here": "leaving"}}},
}


@pytest.fixture
def member(kinds: Testbed) -> Iterator[Member]:
    """The one node of the cluster, running one program by the cluster's wish."""
    apply_rules(kinds, namespace=NAMESPACE)
    kinds.kubectl("delete", "nodes", "--all")
    with joined(kinds, NODE, namespace=NAMESPACE) as member:
        kinds.kubectl("label", "node", NODE, "here=leaving", "--overwrite")
        member.start("--lease-duration", "3s")
        kinds.kubectl("apply", "-f", "-", stdin=json.dumps(PROGRAM))
        member.until(leaving="Running")
        try:
            yield member
        finally:
            kinds.kubectl("patch", "up/leaving", "--type=merge", "-p", '{"metadata":{"finalizers":null}}', check=False)
            kinds.kubectl("delete", "up/leaving", "--ignore-not-found")
            kinds.kubectl("delete", "nodestates", "--all")
            kinds.kubectl("delete", "nodes", "--all")


def hook(member: Member, name: str) -> Path:
    """A kubeconfig of the account of a hook, with the rights that the chart gives it."""
    documents = [one for one in rendered(namespace=NAMESPACE) if one["metadata"]["name"].endswith(f"-{name}")]
    rights = [one for one in documents if one["kind"] not in {"Job", "ServiceAccount"}]
    assert len(rights) == 4
    member.bed.kubectl("apply", "-n", NAMESPACE, "-f", "-", stdin="\n---\n".join(json.dumps(one) for one in rights))
    account = named(documents, "ServiceAccount")["metadata"]["name"]
    return member.bed.agent("hook-node", account=account, namespace=NAMESPACE)


def withdraw(kubeconfig: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "conductor", "withdraw", "--kubeconfig", str(kubeconfig), *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def test_nodes_are_emptied_then_the_cluster(member: Member) -> None:
    bed = member.bed
    done = withdraw(hook(member, "withdraw"), "--patience", "60")
    assert done.stderr == "", f"{member.state()}\n{member.node.log[-4000:]}"
    assert member.node.json("list")["items"] == []
    assert member.state() == {}, "nobody leads: it was not made again"
    assert "No resources found" in bed.kubectl("get", "controllerrevisions", "-n", NAMESPACE)
    kept = json.loads(bed.kubectl("get", "up/leaving", "-o", "json"))
    assert kept["metadata"].get("finalizers") is None
    assert kept["spec"]["source"] == PROGRAM["spec"]["source"]  # type: ignore[index]
    member.node.apart["agent"].terminate()
    member.node.apart["agent"].wait(30)
    withdraw(hook(member, "finish"), "--finish")
    assert "NotFound" in bed.kubectl("get", "lease", "ebpfconductor", "-n", NAMESPACE, check=False)


def test_a_node_that_is_silent_is_named_and_holds_nothing_up(member: Member) -> None:
    member.node.apart["agent"].kill()
    member.node.apart["agent"].wait(30)
    done = withdraw(hook(member, "withdraw"), "--patience", "2")
    assert f"node {NODE} did not say that it is empty" in done.stderr
    assert member.state() == {}
