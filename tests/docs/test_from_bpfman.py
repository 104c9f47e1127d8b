"""docs/from-bpfman.md: what stands before is what stands after, by its own tables, and everybody takes it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from conductor.model.manifest import parse_manifest
from conductor.model.schema.kinds import KERNEL_PROGRAM
from tests.cluster.charted import apply_kinds
from tests.cluster.testbed import Testbed
from tests.docs.bpfman_objects import definitions, moved
from tests.docs.reading import DOCS, blocks, commands
from tests.e2e.node import Node

TEXT = (DOCS / "from-bpfman.md").read_text()
BEFORE, AFTER = blocks(TEXT, "yaml")
THEIRS, OURS = (list(yaml.safe_load_all(block)) for block in (BEFORE, AFTER))


def test_what_comes_after_is_what_was_before_by_the_tables() -> None:
    assert [moved(document) for document in THEIRS] == OURS


def test_it_is_understood() -> None:
    assert [parse_manifest(document).name for document in OURS] == ["node-traffic", "web-calls"]


def test_the_tables_name_fields_that_there_are() -> None:
    table = TEXT.partition("## Field by field")[2].partition("\n## ")[0]
    named = re.findall(r"^\| [^|]*\| `(spec\.[\w.]+)` \|", table, re.MULTILINE)
    assert len(named) >= 6
    for path in named:
        node = KERNEL_PROGRAM.spec
        for part in path.split(".")[1:]:
            assert part in node["properties"], path
            node = node["properties"][part]


@pytest.mark.kernel
@pytest.mark.slow
def test_a_machine_without_a_cluster_judges_it_alike(node: Node) -> None:
    node.start("--kernel", "embedded")
    assert node.cli("apply", "--dry-run", "-f", "-", stdin=AFTER).returncode == 0


@pytest.mark.cluster
def test_every_command_works_in_its_order(testbed: Testbed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    apply_kinds(testbed)
    text = "\n---\n".join(map(json.dumps, definitions()))
    testbed.kubectl("apply", "-f", "-", stdin=text)
    testbed.kubectl("wait", "--for", "condition=Established", "-f", "-", stdin=text)
    testbed.have("/api/v1/namespaces", {"metadata": {"name": "shop"}})
    testbed.kubectl("apply", "-f", "-", stdin=BEFORE)
    (tmp_path / "after.yaml").write_text(AFTER)
    monkeypatch.chdir(tmp_path)
    try:
        for line in commands(TEXT):
            testbed.typed(line)
    finally:
        testbed.kubectl("delete", "kp", "--all")
        testbed.kubectl("delete", "-f", "-", stdin=text)
