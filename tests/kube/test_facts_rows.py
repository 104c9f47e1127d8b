"""Objects as rows about addresses."""

from __future__ import annotations

from typing import Any

import pytest

from conductor.kube.facts_rows import Rows, top_by_name

MADE = "2026-01-01T00:00:00Z"
MINUTE = 29_453_760
"""That moment, in minutes since 1970."""


@pytest.mark.parametrize(
    ("kind", "name", "labels", "top"),
    [
        ("ReplicaSet", "web-5d4f", {"pod-template-hash": "5d4f"}, ("Deployment", "web")),
        ("ReplicaSet", "web-api-5d4f", {"pod-template-hash": "5d4f"}, ("Deployment", "web-api")),
        ("ReplicaSet", "web-5d4f", {}, ("ReplicaSet", "web-5d4f")),
        ("ReplicaSet", "web-5d4f", {"pod-template-hash": "other"}, ("ReplicaSet", "web-5d4f")),
        ("ReplicaSet", "web-5d4f", {"rollouts-pod-template-hash": "5d4f"}, ("ReplicaSet", "web-5d4f")),
        ("Job", f"nightly-{MINUTE}", {}, ("CronJob", "nightly")),
        ("Job", f"nightly-{MINUTE - 60 * 24 * 30}", {}, ("Job", f"nightly-{MINUTE - 60 * 24 * 30}")),
        ("Job", "import-20260101", {}, ("Job", "import-20260101")),
        ("Job", str(MINUTE), {}, ("Job", str(MINUTE))),
        ("StatefulSet", "db", {}, ("StatefulSet", "db")),
        ("Workflow", "train", {}, ("Workflow", "train")),
    ],
)
def test_names_tell_the_top_only_where_they_are_certain(
    kind: str, name: str, labels: dict[str, str], top: tuple[str, str]
) -> None:
    assert top_by_name(kind, name, {"labels": labels, "creationTimestamp": MADE}) == top


def pod(**status: Any) -> dict[str, Any]:
    metadata = {"namespace": "shop", "name": "p", "uid": "u"}
    return {"metadata": metadata, "spec": {"nodeName": "n2"}, "status": {"podIP": "10.0.0.1", **status}}


def test_pods_that_ended_claim_nothing() -> None:
    rows = Rows(node="n1")
    assert rows.pod(pod(phase="Running")) is not None
    assert rows.pod(pod(phase="Succeeded")) is rows.pod(pod(phase="Failed")) is None
    assert rows.local_pod(pod(phase="Failed")) is None


def test_our_own_pods_are_left_to_the_other_watch() -> None:
    assert Rows(node="n2").pod(pod()) is None


def test_both_families_are_claimed() -> None:
    claim = Rows(node="n1").pod(pod(podIPs=[{"ip": "10.0.0.1"}, {"ip": "fd00::1"}]))
    assert claim is not None
    assert [len(address) for address in claim.addresses] == [16, 16]


def test_a_service_claims_every_address_that_is_its_own() -> None:
    spec = {"clusterIPs": ["10.96.0.1"], "externalIPs": ["192.0.2.1"]}
    status = {"loadBalancer": {"ingress": [{"ip": "198.51.100.1"}, {"hostname": "lb.example"}]}}
    claim = Rows(node="n1").service({"metadata": {"namespace": "a", "name": "s"}, "spec": spec, "status": status})
    assert claim is not None
    assert len(claim.addresses) == 3
    outside = {"type": "ExternalName", "externalName": "example.com"}
    assert Rows(node="n1").service({"metadata": {"namespace": "a", "name": "s"}, "spec": outside}) is None
