"""A real API server takes every object of the chart, and its hook's account may do what the hook does and no more."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.chart.rendered import Document, named, rendered
from tests.chart.variants import VARIANTS
from tests.cluster.charted import CHART
from tests.cluster.testbed import Testbed

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(180)]
PROMETHEUS = {"podmonitors": "PodMonitor", "servicemonitors": "ServiceMonitor"}


def stand_in(plural: str, kind: str) -> Document:
    """A kind of the Prometheus operator, taking anything."""
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": anything}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.monitoring.coreos.com"},
        "spec": {
            "group": "monitoring.coreos.com",
            "scope": "Namespaced",
            "names": {"plural": plural, "kind": kind},
            "versions": [version],
        },
    }


@pytest.fixture(scope="module")
def bed(testbed: Testbed) -> Testbed:
    """A cluster with the kinds that charts expect beside ours, and the chart's namespace."""
    for plural, kind in PROMETHEUS.items():
        testbed.kubectl("apply", "-f", "-", stdin=json.dumps(stand_in(plural, kind)))
    names = [f"crd/{plural}.monitoring.coreos.com" for plural in PROMETHEUS]
    testbed.kubectl("wait", "--for", "condition=Established", *names)
    testbed.have("/api/v1/namespaces", {"metadata": {"name": "ebpf"}})
    return testbed


@pytest.mark.parametrize("values", VARIANTS.values(), ids=VARIANTS)
def test_the_server_takes_every_object_to_the_letter(bed: Testbed, values: dict[str, Any]) -> None:
    documents = rendered(values)
    for document in documents:
        if not document["kind"].startswith(("Cluster", "Validating")):
            document["metadata"].setdefault("namespace", "ebpf")  # as Helm does
    text = "\n---\n".join(json.dumps(document) for document in documents if document["kind"] != "Pod")
    said = bed.kubectl("apply", "--dry-run=server", "--validate=strict", "-f", "-", stdin=text)
    assert said.count("(server dry run)") == len(documents) - 1, said
    assert "Warning" not in said


def test_the_pod_of_helm_test_is_one(bed: Testbed) -> None:
    test = named(rendered(), "Pod")
    test["spec"]["serviceAccountName"] = "tester"  # no controller here makes the account `default`
    bed.have("/api/v1/namespaces/ebpf/serviceaccounts", {"metadata": {"name": "tester"}})
    said = bed.kubectl(
        "create", "-n", "ebpf", "--dry-run=server", "--validate=strict", "-f", "-", stdin=json.dumps(test)
    )
    assert "(server dry run)" in said


# --- the hook -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def hook(bed: Testbed) -> Path:
    """A kubeconfig of the hook's account, with the rights that the chart gives it."""
    rights = [
        one
        for one in rendered()
        if one["metadata"]["name"].endswith("-crds") and one["kind"] not in {"Job", "ServiceAccount"}
    ]
    bed.kubectl("apply", "-f", "-", stdin="\n---\n".join(json.dumps(one) for one in rights))
    return bed.agent("hook-node", account="ours-ebpfconductor-crds", namespace="ebpf")


def crds_apply(kubeconfig: Path) -> list[str]:
    command = [sys.executable, "-m", "conductor", "crds", "apply", "--kubeconfig", str(kubeconfig)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return [line.split()[-1] for line in done.stdout.splitlines()]


def test_the_hook_makes_kinds_then_finds_them_and_mends_what_changed(bed: Testbed, hook: Path) -> None:
    assert set(crds_apply(hook)) <= {"created", "changed", "unchanged"}
    assert crds_apply(hook) == ["unchanged"] * 3
    name = "crd/userprograms.ebpfconductor.io"
    columns = [{"op": "remove", "path": "/spec/versions/0/additionalPrinterColumns"}]
    bed.kubectl("patch", name, "--type", "json", "-p", json.dumps(columns))
    assert crds_apply(hook).count("changed") == 1
    assert json.loads(bed.kubectl("get", name, "-o", "json"))["spec"]["versions"][0]["additionalPrinterColumns"]


def test_what_helm_and_the_hook_apply_is_the_same(bed: Testbed, hook: Path) -> None:
    bed.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(CHART / "crds"))
    assert crds_apply(hook) == ["unchanged"] * 3


def test_the_hook_may_touch_no_other_kind(bed: Testbed, hook: Path) -> None:
    for verb in ("get", "update", "delete", "patch"):
        said = bed.kubectl(
            *("auth", "can-i", verb, "crd/podmonitors.monitoring.coreos.com", "--kubeconfig", str(hook)), check=False
        )
        assert "no" in said.split()
    assert "no" in bed.kubectl("auth", "can-i", "list", "secrets", "--kubeconfig", str(hook), check=False).split()
