"""The testbed is what its users take it for."""

from __future__ import annotations

import urllib.error

import pytest

from tests.cluster.testbed import Testbed

pytestmark = pytest.mark.cluster
MAPS = "/api/v1/namespaces/default/configmaps"


def test_it_serves_the_version_that_was_asked_for(testbed: Testbed) -> None:
    from tests.cluster.install import VERSION

    found = testbed.call("GET", "/version")["gitVersion"].removeprefix("v")
    assert found.rpartition(".")[0] == VERSION.rpartition(".")[0], "KUBEBUILDER_ASSETS has another minor version"


def test_an_agent_is_known_by_its_node_and_has_no_rights(testbed: Testbed) -> None:
    kubeconfig = str(testbed.agent("n1"))
    told = testbed.kubectl("auth", "whoami", "--kubeconfig", kubeconfig)
    assert "system:serviceaccount:default:agent" in told
    assert "node-name       [n1]" in told
    assert "forbidden" in testbed.kubectl("get", "pods", "--kubeconfig", kubeconfig, check=False)


def test_a_granted_rule_holds(testbed: Testbed) -> None:
    testbed.grant("read-maps", {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list"]}, account="reader")
    kubeconfig = str(testbed.agent("n1", account="reader"))
    assert "forbidden" not in testbed.kubectl("get", "configmaps", "--kubeconfig", kubeconfig)


def test_changes_are_in_the_audit_log_with_what_they_made(testbed: Testbed) -> None:
    made = testbed.call("POST", MAPS, {"metadata": {"generateName": "audited-"}})
    name = made["metadata"]["name"]
    (line,) = [line for line in testbed.audited() if line["responseObject"]["metadata"].get("name") == name]
    assert line["responseObject"]["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]


def test_history_ends_where_etcd_was_compacted(testbed: Testbed) -> None:
    old = testbed.call("POST", MAPS, {"metadata": {"generateName": "old-"}})["metadata"]["resourceVersion"]
    testbed.call("POST", MAPS, {"metadata": {"generateName": "new-"}})
    with testbed.stopped():
        testbed.compact()
    with pytest.raises(urllib.error.HTTPError) as refused:
        testbed.call("GET", f"{MAPS}?resourceVersion={old}&resourceVersionMatch=Exact")
    refused.value.close()
    assert refused.value.code == 410
