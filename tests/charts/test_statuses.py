"""What the controller and the agents write fits the schema of what they write it into."""

from __future__ import annotations

from typing import Any

import pytest

from conductor.model.fleet import (
    GROUP,
    MOST_PROGRAMS,
    RESOURCES,
    VERSION,
    AgentReport,
    Assignment,
    FleetKey,
    NodeStateRow,
    ProgramReport,
    revision_name,
)
from conductor.model.fleet_status import FleetCondition, FleetCounts, FleetFailure, FleetStatus, Phase
from conductor.model.fleet_strategy import Strategy
from conductor.model.schema.check import _broken, _decoded, _twice, _unknown, _wrong
from conductor.model.schema.kinds import GROUP as OUR_GROUP
from conductor.model.schema.kinds import KINDS, NODE_STATE
from conductor.model.schema.kinds import VERSION as OUR_VERSION
from conductor.model.schema.statuses import PHASES, PROGRAMS_PER_NODE
from conductor.model.status import State

NAME, NODE, LONG = "a" * 63, "n" * 253, "é" * 2000
HASH = "f" * 64
WHEN = 1_700_000_000.0


def told(kind: str, **parts: Any) -> list[tuple[str, str]]:
    """What the schema has against parts of an object."""
    root = KINDS[kind].root
    causes = [
        *_unknown(parts, _decoded(root), ""),
        *_wrong(parts, root, ""),
        *_twice(parts, root, ""),
        *_broken(parts, root, ""),
    ]
    return [(cause.field, cause.message) for cause in causes if cause.field not in {"spec", "metadata.name"}]


@pytest.mark.parametrize("kind", ["KernelProgram", "UserProgram"])
@pytest.mark.parametrize("phase", Phase)
def test_the_status_of_a_program(kind: str, phase: Phase) -> None:
    revision = revision_name(FleetKey(kind, NAME), HASH)
    conditions = tuple(
        FleetCondition(type=type_, status=True, reason="NotImplemented", message=LONG, generation=7, since=WHEN)
        for type_ in ("Ready", "Progressing", "Degraded")
    )
    status = FleetStatus(
        observed_generation=7,
        revision=revision,
        update_revision=revision,
        phase=phase,
        phase_since=WHEN,
        nodes=FleetCounts(desired=5000, updated=5000, ready=5000, failed=5000, unreachable=5000),
        failures=(FleetFailure(NODE, "VerifierRejected", LONG[:1024]),) * 9,
        conditions=conditions,
    )
    assert told(kind, status=status.printed()) == []
    assert told(kind, status=FleetStatus().printed()) == []


@pytest.mark.parametrize("state", State)
def test_the_state_of_a_node(state: State) -> None:
    names = [f"{i:02}{NAME[2:]}" for i in range(MOST_PROGRAMS)]
    row = NodeStateRow(
        name=NODE,
        spec=tuple(
            Assignment("UserProgram", name, revision_name(FleetKey("UserProgram", name), HASH), HASH) for name in names
        ),
        observed=tuple(
            ProgramReport(kind="UserProgram", name=name, hash=HASH, state=state, reason="R", message=LONG, since=WHEN)
            for name in names
        ),
        observed_generation=7,
        agent=AgentReport(
            version="1.0.0.dev1+g0123456789", road="/run/" + "r" * 103, flavour="bpfman (Rust) 0.6.0", ready=True
        ),
    )
    assert told(NODE_STATE.kind, spec=row.document()["spec"], status=row.status()) == []


def test_a_strategy_is_printed_as_the_schema_takes_it() -> None:
    asked = Strategy.parse({"maxUnavailable": "10%", "canary": 0, "soak": "90s", "type": "Recreate"})
    assert told("UserProgram", spec={"source": {"builtin": "x"}, "updateStrategy": asked.printed()}) == []


def test_defaults_are_those_of_a_strategy_that_says_nothing() -> None:
    fields = KINDS["UserProgram"].spec["properties"]["updateStrategy"]["properties"]
    assert {name: field["default"] for name, field in fields.items()} == Strategy.parse({}).printed()


def test_words_are_the_same_in_schema_and_controller() -> None:
    assert (GROUP, VERSION, MOST_PROGRAMS) == (OUR_GROUP, OUR_VERSION, PROGRAMS_PER_NODE)
    assert {kind: resource.plural for kind, resource in RESOURCES.items()} == {
        name: kind.plural for name, kind in KINDS.items() if name in RESOURCES
    }
    assert set(PHASES) == set(Phase)
