"""docs/install.md on a real node: its commands install, show and uninstall, and print what is shown."""

from __future__ import annotations

import shlex
from contextlib import suppress

import pytest

from tests.docs.playing import play
from tests.docs.reading import DOCS, section
from tests.real_node.release import CHART, EXAMPLES, Release
from tests.real_node.testbed import IMAGE, Cluster

pytestmark = [pytest.mark.node, pytest.mark.kernel, pytest.mark.slow, pytest.mark.timeout(300)]
TEXT = (DOCS / "install.md").read_text()
PLACES = {"charts/ebpfconductor": str(CHART), "registry.example/ebpfconductor": IMAGE, "examples/": f"{EXAMPLES}/"}


@pytest.fixture
def alone(cluster: Cluster, release: Release) -> Cluster:
    """The cluster without a release and without programs."""
    with suppress(AssertionError):  # nothing may be installed
        release.uninstall()
    cluster.kubectl("delete", "kp,up", "--all", "--timeout=60s", check=False)
    return cluster


def test_its_commands_install_show_and_uninstall(alone: Cluster) -> None:
    def run(line: str) -> str:
        for shown, real in PLACES.items():
            line = line.replace(shown, real)
        command, *words = shlex.split(line)
        if command == "docker":
            return ""  # the image of this tree is on the node
        return {"kubectl": alone.kubectl, "helm": alone.helm}[command](*words)

    play(section(TEXT, "Install"), run)
    described = alone.kubectl("describe", "userprogram", "service-map")
    assert "CanaryRunning" in described
    play(section(TEXT, "Uninstall"), run)
    assert alone.items("daemonsets", "--all-namespaces") == []
    alone.kubectl("delete", "up/service-map", "--timeout=20s")
