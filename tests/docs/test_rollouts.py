"""docs/rollouts.md: every command works in its order, on a real node at a real API server, and prints what is shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cluster.charted import apply_kinds, apply_rules
from tests.cluster.member import joined
from tests.cluster.testbed import Testbed
from tests.docs.playing import play
from tests.docs.reading import DOCS, blocks

pytestmark = [pytest.mark.cluster, pytest.mark.kernel, pytest.mark.slow, pytest.mark.timeout(240)]
TEXT = (DOCS / "rollouts.md").read_text()
NAMESPACE = "ebpfconductor"


def test_the_document_holds(testbed: Testbed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (manifest,) = blocks(TEXT, "yaml")
    (tmp_path / manifest.split()[1]).write_text(manifest)
    apply_kinds(testbed)
    apply_rules(testbed, namespace=NAMESPACE)
    testbed.kubectl("delete", "nodes,nodestates", "--all")
    testbed.kubectl("delete", "events", "--all")  # of others' programs of that name

    with joined(testbed, "node-1", namespace=NAMESPACE) as member:
        member.start("--lease-duration", "3s")
        try:
            play(TEXT, testbed.typed)
        finally:
            testbed.kubectl("delete", "up/pressure", "--ignore-not-found", "--timeout=20s", check=False)
        assert member.node.is_empty()
