"""A real API server takes our CRDs, fills in their defaults, and refuses what our own check refuses, in the same words."""

from __future__ import annotations

import json
import re
import urllib.error
from typing import Any

import pytest
import yaml

from conductor.model.manifest import parse_manifest
from conductor.model.schema.kinds import KINDS
from tests.cluster.testbed import Testbed
from tests.model.bad_manifests import BAD, UNDECODABLE, Bad, document, kernel, link, user
from tests.model.test_manifest import DESIGN, FULL

pytestmark = pytest.mark.cluster
API = "/apis/ebpfconductor.io/v1alpha1"
NOT_CHECKED = "<nil>"
"""The field of what the server adds of itself."""


def posted(bed: Testbed, manifest: dict[str, Any]) -> dict[str, Any]:
    """Create it as `kubectl apply` does, without keeping it; answers the object or the refusal."""
    path = f"{API}/{KINDS[manifest['kind']].plural}?fieldValidation=Strict&dryRun=All"
    try:
        return bed.call("POST", path, manifest)
    except urllib.error.HTTPError as exc:
        with exc:
            refusal: dict[str, Any] = json.load(exc)
        return refusal


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.name)
def test_what_we_refuse_it_refuses_in_the_same_words(kinds: Testbed, bad: Bad) -> None:
    causes = posted(kinds, bad.document)["details"]["causes"]
    told = {(cause["field"], cause["message"]) for cause in causes if cause["field"] != NOT_CHECKED}
    assert sorted(told) == sorted(bad.causes)


@pytest.mark.parametrize("bad", UNDECODABLE, ids=lambda bad: bad.name)
def test_what_cannot_be_decoded_neither(kinds: Testbed, bad: Bad) -> None:
    message = posted(kinds, bad.document)["message"]
    told = message.partition(f"cannot be handled as a {bad.document['kind']}: ")[2]
    told = told.removeprefix("strict decoding error: ")
    assert sorted(told.split(", ")) == sorted(message for _, message in bad.causes)


def test_kubectl_says_the_same_of_kinds_that_are_none(kinds: Testbed) -> None:
    told = kinds.kubectl("apply", "-f", "-", stdin=json.dumps(user() | {"kind": "UserProgramm"}), check=False)
    assert 'no matches for kind "UserProgramm" in version "ebpfconductor.io/v1alpha1"' in told
    told = kinds.kubectl("apply", "-f", "-", stdin=json.dumps({"metadata": {"name": "x"}}), check=False)
    assert "apiVersion not set, kind not set" in told


GOOD = [
    *yaml.safe_load_all(DESIGN),
    kernel(**FULL),
    user(
        limits={"memory": "32Mi", "cpu": "0.5", "cpuCall": "1.5s", "series": 5, "inbox": "1Mi", "mapOperations": "2k"}
    ),
    user(limits={"cpu": 1024, "cpuCall": 60, "memory": 65536}),
    user(updateStrategy={}, maps=[{"name": "a.b", "kernelProgram": "K_1"}], config={"a": [None, {"b": 1.5}]}),
    user(maps=None, config=None, limits={"memory": None}),
    link("XDP", {"interfaceSelector": {"interfacesDiscoveryConfig": {"allowedInterfaces": ["/veth.*/"]}}}),
    link("TCX", {"interfaceSelector": {"interfaces": ["eth0"]}, "direction": "Egress", "priority": 1.0}),
    link("UProbe", {"target": "libc", "offset": 0, "containers": {"containerIDs": ["containerd://" + "0" * 64]}}),
    link("UProbe", {"target": "libc", "offset": 0, "containers": {"pods": {}, "containerNames": ["app"]}}),
    link("XDP", {"interfaceSelector": {"interfaces": ["eth0"]}, "networkNamespaces": {"namespace": "a", "pods": {}}}),
    link("FEntry", {}, function="do_unlinkat"),
    document("UserProgram", {"source": {"builtin": "x"}}, namespace="passed-over", labels={"a/b": ""}),
]


@pytest.mark.parametrize("good", GOOD, ids=lambda good: re.sub(r"\W+", "-", json.dumps(good["spec"]))[1:60])
def test_what_it_takes_means_the_same_with_its_defaults_filled_in(kinds: Testbed, good: dict[str, Any]) -> None:
    kept = posted(kinds, good)
    assert "spec" in kept, kept.get("message")
    assert parse_manifest(kept) == parse_manifest(good)


def test_defaults_are_what_is_written_in_the_schema(kinds: Testbed) -> None:
    strategy = posted(kinds, user(updateStrategy={}))["spec"]["updateStrategy"]
    assert strategy == {
        "type": "Overlap",
        "maxUnavailable": 1,
        "canary": 1,
        "soak": "30s",
        "pause": False,
        "rollbackOnFailure": True,
    }


@pytest.mark.parametrize(("short", "column"), [("kp", "PHASE"), ("up", "REVISION"), ("nst", "ROAD")])
def test_short_names_and_columns(kinds: Testbed, short: str, column: str) -> None:
    kind = next(kind for kind in KINDS.values() if kind.short == short)
    name = f"shown-{short}"
    spec = {"KernelProgram": kernel()["spec"], "UserProgram": user()["spec"]}.get(kind.kind, {})
    kinds.have(f"{API}/{kind.plural}", {**document(kind.kind, spec), "metadata": {"name": name}})
    shown = kinds.kubectl("get", short, name).splitlines()
    assert column in shown[0]
    assert "AGE" in shown[0]
    assert name in shown[1]
    kinds.kubectl("delete", short, name)


def test_explain_tells_of_every_field(kinds: Testbed) -> None:
    told = kinds.kubectl("explain", "kp.spec.programs.tc.links", "--recursive")
    assert "Where it is attached." in told
    assert all(word in told for word in ("interfaceSelector", "proceedOn", "enum: Ingress, Egress", "priority"))


def test_lists_of_a_node_state_are_taken_whole(kinds: Testbed) -> None:
    """Else the server keeps, of each item, who wrote which field: more than the items themselves."""
    rows = [{"kind": "UserProgram", "name": name, "revision": f"up-{name}-0", "hash": "0" * 64} for name in "ab"]
    kept = posted(kinds, document("NodeState", {"programs": rows}))
    (fields,) = (entry["fieldsV1"]["f:spec"] for entry in kept["metadata"]["managedFields"])
    assert fields["f:programs"] == {}
