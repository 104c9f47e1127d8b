"""Rows of a node's status."""

from __future__ import annotations

from dataclasses import replace

from conductor.errors import PathNotAllowed
from conductor.model.fleet import MOST_PROGRAMS, Assignment, FleetKey
from conductor.model.ids import Name
from conductor.model.program import BuiltinSource, Source, UserProgramSpec
from conductor.model.status import Condition, ProgramStatus, State
from conductor.plan.merge import Wish
from conductor.plan.node_reports import Assignments, Seen, reports

KEY = ("UserProgram", Name("p"))
SPEC = UserProgramSpec(name=Name("p"), source=BuiltinSource(name="x"))
ITEM = Assignment("UserProgram", "p", "up-p-h", "h")
STATUS = ProgramStatus(spec=SPEC, source=Source.CLUSTER, condition=Condition(state=State.RUNNING), generation=2)
SEEN = Seen(statuses=(STATUS,), wishes={KEY: Wish(spec=SPEC, generation=2)})
ASSIGNED = Assignments(generation=7, programs=(ITEM,))


def state(assigned: Assignments = ASSIGNED, seen: Seen = SEEN) -> tuple[State, str]:
    (row,) = reports(assigned, seen)
    assert row.hash == "h"
    return row.state, row.reason


def test_what_runs_is_told_to_run() -> None:
    assert state() == (State.RUNNING, "")


def test_what_was_asked_and_has_no_outcome_is_on_the_way_though_the_version_before_runs() -> None:
    assert state(seen=replace(SEEN, under_way={KEY})) == (State.UPDATING, "Updating")
    assert state(seen=replace(SEEN, wishes={KEY: Wish(spec=SPEC, generation=3)})) == (State.UPDATING, "Updating")


def test_a_version_that_could_not_take_over_has_failed() -> None:
    kept = replace(STATUS, condition=Condition(state=State.RUNNING, reason="UpdateFailed"))
    assert state(seen=replace(SEEN, statuses=(kept,))) == (State.FAILED, "UpdateFailed")


def test_a_tick_that_failed_leaves_it_running() -> None:
    kept = replace(STATUS, condition=Condition(state=State.RUNNING, reason="TickFailed"))
    assert state(seen=replace(SEEN, statuses=(kept,))) == (State.RUNNING, "TickFailed")


def test_what_could_not_become_a_wish_is_told_by_its_reason() -> None:
    refused = replace(ASSIGNED, refused={ITEM.key: PathNotAllowed("no")})
    assert state(refused) == (State.FAILED, "PathNotAllowed")


def test_programs_of_other_sources_are_not_ours() -> None:
    foreign = replace(STATUS, source=Source.GRPC)
    assert state(seen=Seen(statuses=(foreign,))) == (State.INITIALIZED, "Starting")


def test_what_leaves_is_told_until_it_is_gone_and_never_crowds_out_what_is_assigned() -> None:
    leaving = {FleetKey("KernelProgram", f"k{i}"): "old" for i in range(MOST_PROGRAMS)}
    rows = reports(replace(ASSIGNED, leaving=leaving), SEEN)
    assert len(rows) == MOST_PROGRAMS
    assert (rows[0].name, rows[0].state) == ("p", State.RUNNING)
    assert (rows[1].reason, rows[1].hash) == ("Unloading", "old")
