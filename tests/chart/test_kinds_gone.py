"""What an uninstall leaves of kinds and objects, and that a later version is installed over it, by Helm at a real API server."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chart.errands import Errands, running
from tests.chart.rendered import CHART, helm
from tests.cluster.charted import apply_kinds
from tests.cluster.testbed import Testbed

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.timeout(240)]
NAMESPACE = "kept"
WORDS = ("--namespace", NAMESPACE, "--set", "withdraw.patience=5")
PROGRAM = {
    "apiVersion": "ebpfconductor.io/v1alpha1",
    "kind": "UserProgram",
    "metadata": {"name": "kept"},
    "spec": {"source": {"builtin": "host_pressure"}},
}


@pytest.fixture
def errands(testbed: Testbed) -> Iterator[Errands]:
    """Somebody who runs the jobs of the namespace, where no node is."""
    testbed.have("/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
    testbed.kubectl("delete", "nodes", "--all")
    with running(testbed, NAMESPACE) as errands:
        yield errands
    apply_kinds(testbed)  # as others expect them
    testbed.kubectl("delete", "up/kept", "--ignore-not-found")


def release(bed: Testbed, *words: str) -> None:
    done = helm(*words, kubeconfig=bed.admin)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(("keep", "left"), [("true", 3), ("false", 0)])
def test_kinds_and_what_people_wrote_stay_unless_told(testbed: Testbed, errands: Errands, keep: str, left: int) -> None:
    release(testbed, "upgrade", "--install", "ours", str(CHART), *WORDS, "--set", f"crds.keep={keep}")
    testbed.kubectl("apply", "-f", "-", stdin=json.dumps(PROGRAM))
    release(testbed, "uninstall", "ours", "--namespace", NAMESPACE)
    assert list(errands.said) == [f"ours-ebpfconductor-{name}" for name in ("crds", "withdraw", "finish")]
    kinds = testbed.kubectl("get", "crd", "-o", "name").split()
    assert len([name for name in kinds if name.endswith(".ebpfconductor.io")]) == left
    if left:
        kept = json.loads(testbed.kubectl("get", "up/kept", "-o", "json"))
        assert kept["spec"]["source"] == {"builtin": "host_pressure"}


def test_a_later_version_is_installed_over_kinds_that_the_hook_had_changed(
    testbed: Testbed, errands: Errands, tmp_path: Path
) -> None:
    release(testbed, "upgrade", "--install", "ours", str(CHART), *WORDS)
    columns = [{"op": "remove", "path": "/spec/versions/0/additionalPrinterColumns"}]
    testbed.kubectl("patch", "crd/userprograms.ebpfconductor.io", "--type", "json", "-p", json.dumps(columns))
    release(testbed, "upgrade", "ours", str(CHART), *WORDS)
    release(testbed, "uninstall", "ours", "--namespace", NAMESPACE)
    later = tmp_path / "chart"
    shutil.copytree(CHART, later)
    kind = later / "crds/userprograms.yaml"
    kind.write_text(kind.read_text().replace("Nodes on which it runs.", "Nodes."))
    assert kind.read_text() != (CHART / "crds/userprograms.yaml").read_text()
    release(testbed, "upgrade", "--install", "ours", str(later), *WORDS)
    assert "userprograms.ebpfconductor.io changed" in errands.said["ours-ebpfconductor-crds"], "to what the image has"
    release(testbed, "uninstall", "ours", "--namespace", NAMESPACE)
