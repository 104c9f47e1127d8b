"""The examples run on a machine without a cluster, as they are."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import yaml

from tests.e2e.node import Node, links_of

pytestmark = pytest.mark.kernel
EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.yaml"))
ALONE = {"granted-maps"}
"""Examples that wait for another one."""
CLUSTERED = {"pod-interfaces", "pod-uprobe"}
"""Examples that go into a cluster's pods, by an image; tests/cluster/test_pods.py and test_pod_probes.py attach them."""


@pytest.mark.parametrize(
    "path", [path for path in EXAMPLES if path.stem not in ALONE | CLUSTERED], ids=lambda path: path.stem
)
def test_an_example_runs_and_goes(clean: Node, path: Path) -> None:
    clean.cli("apply", "-f", str(path))
    for document in yaml.safe_load_all(path.read_text()):
        name = document["metadata"]["name"]
        if document["kind"] == "UserProgram":
            clean.wait_for(partial(clean.running, name), name)
        else:
            clean.wait_for(lambda: links_of(clean), name)
    clean.cli("delete", "-f", str(path))
    clean.wait_for(lambda: not links_of(clean), "nothing attached")
