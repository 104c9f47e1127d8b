"""Worlds for the contract: the fake always, the real API server where KUBEBUILDER_ASSETS names its binaries."""

from __future__ import annotations

import uuid

import pytest

from tests.cluster.testbed import Testbed
from tests.kube.worlds import PROBES, FakeWorld, RealWorld, World

CRD = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": f"probes.{PROBES.group}"},
    "spec": {
        "group": PROBES.group,
        "scope": "Namespaced",
        "names": {"plural": "probes", "singular": "probe", "kind": "Probe"},
        "versions": [
            {
                "name": PROBES.version,
                "served": True,
                "storage": True,
                "subresources": {"status": {}},
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {
                            "spec": {"type": "object", "properties": {"size": {"type": "integer", "minimum": 0}}},
                            "status": {"type": "object", "properties": {"seen": {"type": "integer"}}},
                        },
                    }
                },
            }
        ],
    },
}


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.cluster)])
def world(request: pytest.FixtureRequest) -> World:
    """Each cluster, with a namespace of this test alone."""
    if request.param == "fake":
        return FakeWorld()
    testbed: Testbed = request.getfixturevalue("testbed")
    testbed.have("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", CRD)
    testbed.kubectl("wait", "--for=condition=established", "--timeout=20s", f"crd/probes.{PROBES.group}")
    return RealWorld(testbed=testbed, namespace=f"story-{uuid.uuid4().hex[:8]}")
