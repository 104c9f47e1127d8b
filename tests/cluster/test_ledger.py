"""The judge of failovers can find somebody guilty."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.ledger import NODE_CLAIM, Ledger
from tests.cluster.testbed import Testbed

AGENT = "system:serviceaccount:here:agent"


def line(second: int, node: str, resource: str, revision: int, **more: Any) -> dict[str, Any]:
    made = {"metadata": {"resourceVersion": str(revision)}, **more}
    return {
        "stageTimestamp": f"2026-01-01T00:00:{second:02}.000000Z",
        "user": {"username": AGENT, "extra": {NODE_CLAIM: [node]}},
        "objectRef": {"resource": resource},
        "responseStatus": {"code": 200},
        "responseObject": made,
    }


def lease(second: int, node: str, revision: int, holder: str) -> dict[str, Any]:
    return line(second, node, "leases", revision, spec={"holderIdentity": holder})


def ledger(tmp_path: Path, *lines: dict[str, Any]) -> Ledger:
    bed = Testbed.__new__(Testbed)
    bed.audit_log = tmp_path / "audit.log"
    bed.audit_log.write_text("".join(json.dumps(item) + "\n" for item in lines))
    return Ledger.read(bed, "here", "2026-01-01T00:00:00.500000Z")


TAKEN = (lease(1, "n1", 10, "n1/a"), line(2, "n1", "nodestates", 11), lease(3, "n2", 20, "n2/b"))


def test_holders_write_in_their_terms(tmp_path: Path) -> None:
    found = ledger(tmp_path, *TAKEN, line(4, "n2", "nodestates", 21))
    assert (found.terms(), found.writes) == (["n1/a", "n2/b"], 2)


def test_a_late_write_of_the_last_holder_is_found(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="n1 wrote"):
        ledger(tmp_path, *TAKEN, line(4, "n1", "nodestates", 21)).terms()


def test_revisions_order_it_and_not_the_log(tmp_path: Path) -> None:
    assert ledger(tmp_path, *TAKEN, line(9, "n1", "userprograms", 12)).terms()
    with pytest.raises(AssertionError):
        ledger(tmp_path, *TAKEN, line(2, "n1", "userprograms", 22)).terms()


def test_what_changed_nothing_is_no_change(tmp_path: Path) -> None:
    found = ledger(tmp_path, *TAKEN, line(4, "n2", "nodestates", 11))
    assert found.terms()
    assert found.writes == 1


def test_refusals_are_counted(tmp_path: Path) -> None:
    refused = {**line(4, "n1", "nodestates", 0), "responseStatus": {"code": 403}}
    assert ledger(tmp_path, *TAKEN, refused).refused == 1


def test_an_agents_own_status_is_its_own(tmp_path: Path) -> None:
    own = line(4, "n1", "nodestates", 21)
    own["objectRef"]["subresource"] = "status"
    assert ledger(tmp_path, *TAKEN, own).terms()
