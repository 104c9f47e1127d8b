"""What doctor says of a real API server."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from conductor.cli.checks import Answer, Finding
from conductor.cli.cluster_checks import cluster
from conductor.config import Config
from tests.cluster.charted import apply_rules
from tests.cluster.testbed import Testbed

pytestmark = pytest.mark.cluster


def found(kubeconfig: Path, node: str) -> dict[str, Finding]:
    flags = {"kubeconfig": str(kubeconfig), "node_name": node}
    return {finding.name: finding for finding in cluster(Config.parse(flags=flags, environ={}, file={}))}


def test_it_tells_an_agents_own_object(kinds: Testbed) -> None:
    name = f"doctor-{uuid.uuid4().hex[:6]}"
    apply_rules(kinds, namespace=name)
    told = found(kinds.agent(name, namespace=name), name)
    assert (told["API server"].answer, told["NodeState"].answer) == (Answer.YES, Answer.UNKNOWN)
    api = {"apiVersion": "ebpfconductor.io/v1alpha1", "kind": "NodeState"}
    path = "/apis/ebpfconductor.io/v1alpha1/nodestates"
    kinds.call("POST", path, {**api, "metadata": {"name": name}, "spec": {"programs": []}})
    assert found(kinds.agent(name, namespace=name), name)["NodeState"].answer is Answer.YES
    kinds.call("DELETE", f"{path}/{name}")


def test_missing_rights_are_told_by_their_name(kinds: Testbed) -> None:
    told = found(kinds.agent("doctor-2", account="nobody"), "doctor-2")
    assert told["NodeState"].answer is Answer.NO
    assert "nodestates" in told["NodeState"].detail


def test_a_server_that_is_away_keeps_no_agent_from_starting(kinds: Testbed) -> None:
    kubeconfig = kinds.agent("doctor-3", server="https://127.0.0.1:9")
    (told,) = found(kubeconfig, "doctor-3").values()
    assert (told.answer, told.fatal) == (Answer.NO, False)


def test_a_kubeconfig_that_is_none_does(tmp_path: Path) -> None:
    (told,) = found(tmp_path / "none", "n").values()
    assert (told.answer, told.fatal) == (Answer.NO, True)
