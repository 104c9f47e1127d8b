"""Every command of docs/kubernetes.md, run in its order."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cluster.charted import apply_rules
from tests.cluster.member import joined
from tests.cluster.testbed import Testbed
from tests.docs.reading import DOCS, blocks

pytestmark = [pytest.mark.cluster, pytest.mark.kernel, pytest.mark.slow]


def test_the_document_holds(kinds: Testbed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(__file__).parents[2])
    apply_rules(kinds, namespace="written")
    kinds.kubectl("delete", "nodes", "--all")
    lines = "".join(blocks((DOCS / "kubernetes.md").read_text(), "sh")).splitlines()
    with joined(kinds, "written-1", namespace="written") as member:
        member.start()
        for line in lines:
            kinds.typed(line)
        assert member.node.is_empty()
