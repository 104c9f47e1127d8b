"""What the chart brings to a cluster, applied by kubectl: kinds, rights and policies."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import yaml

from tests.cluster.testbed import Testbed

__all__ = ["CHART", "apply_kinds", "apply_rules", "documents_of"]

CHART = Path(__file__).parents[2] / "charts" / "ebpfconductor"
LEASE = "ebpfconductor"
_PLACE = re.compile(r"\{\{ \.(\w+) \}\}")


def documents_of(file: str, /, **places: str) -> list[dict[str, Any]]:
    """Read a file of the chart with its places filled in, as its templates do."""
    text = (CHART / "files" / file).read_text()
    return list(yaml.safe_load_all(_PLACE.sub(lambda found: places[found[1]], text)))


def apply_kinds(bed: Testbed) -> None:
    """Have our kinds served."""
    bed.kubectl("apply", "--server-side", "-f", str(CHART / "crds"))
    names = [f"crd/{path.stem}.ebpfconductor.io" for path in sorted((CHART / "crds").glob("*.yaml"))]
    bed.kubectl("wait", "--for", "condition=Established", *names)


def apply_rules(bed: Testbed, *, namespace: str, account: str = "agent", name: str = "", lease: str = LEASE) -> None:
    """Give the agents of a namespace the rights and policies of the chart, under a name of their own.

    Returns when the policies are seen to hold.
    """
    places = {"name": name or f"ebpfconductor-{namespace}", "namespace": namespace, "serviceAccount": account}
    places["lease"] = lease
    bed.have("/api/v1/namespaces", {"metadata": {"name": namespace}})
    rules = [document for file in ("rbac.yaml", "policies.yaml") for document in documents_of(file, **places)]
    bed.kubectl("apply", "-f", "-", stdin="\n---\n".join(json.dumps(document) for document in rules))
    _wait_for_policies(bed, namespace=namespace, account=account, lease=lease)


def _wait_for_policies(bed: Testbed, *, namespace: str, account: str, lease: str) -> None:
    """A policy works some moments after it was made: a Lease in another's name is refused from then on."""
    kubeconfig = str(bed.agent("policies-probe", account=account, namespace=namespace))
    foreign = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": lease, "namespace": namespace},
        "spec": {"holderIdentity": "nobody/0"},
    }
    until = time.monotonic() + 30
    while time.monotonic() < until:
        words = ("create", "--dry-run=server", "-f", "-", "--kubeconfig", kubeconfig)
        if "ValidatingAdmissionPolicy" in bed.kubectl(*words, stdin=json.dumps(foreign), check=False):
            return
        time.sleep(0.1)
    raise AssertionError("the policies of the chart do not hold after 30 s")
