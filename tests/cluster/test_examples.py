"""The examples are what a real API server takes."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from conductor.model.manifest import parse_manifest
from conductor.model.schema.kinds import KINDS
from tests.cluster.testbed import Testbed

pytestmark = pytest.mark.cluster
EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.yaml"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_applied_and_means_what_it_means_on_a_laptop(kinds: Testbed, path: Path) -> None:
    assert "created" in kinds.kubectl("apply", "-f", str(path))
    for document in yaml.safe_load_all(path.read_text()):
        kind, name = KINDS[document["kind"]], document["metadata"]["name"]
        kept = kinds.call("GET", f"/apis/ebpfconductor.io/v1alpha1/{kind.plural}/{name}")
        assert parse_manifest(kept) == parse_manifest(document)
    kinds.kubectl("delete", "-f", str(path))
