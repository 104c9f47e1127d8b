"""What docs/install.md promises, on a real node: installed, used, upgraded, removed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.real_node.release import Release
from tests.real_node.testbed import Cluster

pytestmark = [pytest.mark.node, pytest.mark.kernel, pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def release(cluster: Cluster) -> Iterator[Release]:
    """The chart by its default values."""
    release = Release(cluster=cluster)
    release.install()
    yield release
    release.uninstall()


def test_the_pod_is_ready_and_helm_says_so(release: Release) -> None:
    statuses = release.pod["status"]["containerStatuses"]
    assert {one["name"]: one["ready"] for one in statuses} == {"agent": True, "loader": True}
    assert "Phase:          Succeeded" in release.cluster.helm("test", "ebpfconductor", "-n", "ebpf")
