"""What must be so of a program once everybody has come to rest, whatever happened before."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet

from conductor.model.fleet import NodeRow
from conductor.model.fleet_rows import ProgramRow
from conductor.model.fleet_status import Phase

__all__ = ["judge"]


def judge(
    row: ProgramRow,
    version: str,
    assigned: Mapping[str, str],
    nodes: Mapping[str, NodeRow],
    bad: AbstractSet[tuple[str, str]],
) -> None:
    """Hold a program to its last spec, which is of this version, and its status to the truth.

    `assigned`: the version of each node; `bad`: nodes (or "*") and the versions that they refuse.
    """
    assert not row.deleting, "a deletion hangs"
    selected = sorted(name for name, node in nodes.items() if row.selector.matches(node.labels))
    ready = [name for name in selected if nodes[name].ready]
    assert set(assigned) <= set(selected), "it is where it is not meant to be"
    refusing = [name for name in ready if {(name, version), ("*", version)} & bad]
    _judge_phase(row, version, assigned, selected, stuck=not ready or bool(refusing))
    runs = [name for name in ready if name in assigned and not {(name, assigned[name]), ("*", assigned[name])} & bad]
    counts = row.status.nodes
    assert (counts.desired, counts.unreachable) == (len(selected), len(selected) - len(ready))
    assert counts.ready == len(runs)
    assert counts.failed == len([name for name in ready if name in assigned]) - len(runs)
    assert counts.updated == len([name for name in runs if assigned[name] == version])
    assert row.status.observed_generation == row.generation
    told = row.status.condition("Ready")
    assert told
    assert told.status is (bool(ready) and runs == ready)


def _judge_phase(
    row: ProgramRow, version: str, assigned: Mapping[str, str], selected: list[str], *, stuck: bool
) -> None:
    status = row.status
    match status.phase:
        case Phase.IDLE:
            assert dict(assigned) == dict.fromkeys(selected, version)
        case Phase.ROLLED_BACK:
            assert row.strategy.rollback_on_failure
            assert status.update_revision != status.revision
            assert status.failures
            assert version not in assigned.values()
            assert len(set(assigned.values())) <= 1 or not status.revision
        case Phase.PAUSED:
            assert row.strategy.pause
        case Phase.CANARY | Phase.ROLLING:
            assert stuck, "it could go on"
        case Phase.SOAKING:
            raise AssertionError("a soak never ends")
