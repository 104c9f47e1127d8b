"""Words of a fleet: what is printed reads back, and what is absent is no fault."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conductor.model.fleet import (
    KERNEL_PROGRAM,
    MOST_MESSAGE_BYTES,
    USER_PROGRAM,
    AgentReport,
    Assignment,
    FleetKey,
    NodeRow,
    NodeStateRow,
    ProgramReport,
)
from conductor.model.fleet_rows import ProgramRow, RevisionRow, content_of, digest_of, revision_of
from conductor.model.fleet_status import FleetCondition, FleetCounts, FleetFailure, FleetStatus, Phase
from conductor.model.fleet_strategy import Share, Strategy
from conductor.model.fleet_times import duration_of, moment_of, stamp_of
from conductor.model.labels import Expression, Selector
from conductor.model.status import State

names = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,8}[a-z0-9])?", fullmatch=True)
kinds = st.sampled_from([KERNEL_PROGRAM, USER_PROGRAM])
hashes = st.from_regex(r"[0-9a-f]{64}", fullmatch=True)
moments = st.integers(1, 4_000_000_000).map(float)
words = st.text(max_size=60)
counts = st.integers(0, 10_000)
assignments = st.builds(Assignment, kinds, names, names, hashes)
reports = st.builds(
    ProgramReport,
    kind=kinds,
    name=names,
    hash=hashes,
    state=st.sampled_from(State),
    reason=words,
    message=words,
    since=moments,
)
agents = st.builds(AgentReport, version=words.filter(bool), road=words, flavour=words, ready=st.booleans())
node_states = st.builds(
    NodeStateRow,
    name=names,
    resource_version=names,
    generation=st.just(0),
    spec=st.lists(assignments, max_size=3, unique_by=lambda item: item.key).map(tuple),
    observed=st.lists(reports, max_size=3, unique_by=lambda report: report.key).map(tuple),
    observed_generation=counts,
    agent=agents,
)
shares = st.builds(Share, st.integers(0, 100), st.booleans())
strategies = st.builds(
    Strategy,
    type=st.sampled_from(["Overlap", "Recreate"]),
    max_unavailable=shares,
    canary=shares,
    soak=st.integers(0, 86_400).map(float),
    pause=st.booleans(),
    rollback_on_failure=st.booleans(),
)
selectors = st.builds(
    Selector,
    match_labels=st.dictionaries(names, words, max_size=3),
    match_expressions=st.lists(
        st.builds(
            Expression,
            names,
            st.sampled_from(["In", "NotIn", "Exists", "DoesNotExist"]),
            st.lists(words, max_size=2).map(tuple),
        ),
        max_size=3,
    ).map(tuple),
)
conditions = st.builds(
    FleetCondition, type=words, status=st.booleans(), reason=words, message=words, generation=counts, since=moments
)
statuses = st.builds(
    FleetStatus,
    observed_generation=counts,
    revision=words,
    update_revision=words,
    phase=st.sampled_from(Phase),
    phase_since=moments,
    nodes=st.builds(FleetCounts, desired=counts, updated=counts, ready=counts, failed=counts, unreachable=counts),
    failures=st.lists(st.builds(FleetFailure, words, words, words), max_size=5).map(tuple),
    conditions=st.lists(conditions, max_size=3).map(tuple),
)


@given(node_states)
def test_a_node_state_reads_back(row: NodeStateRow) -> None:
    assert NodeStateRow.parse({**row.document(), "status": row.status()}) == row


@given(statuses)
def test_a_status_reads_back(status: FleetStatus) -> None:
    assert FleetStatus.parse(status.printed()) == status


@given(strategies, selectors)
def test_what_steers_a_roll_out_reads_back(strategy: Strategy, selector: Selector) -> None:
    assert Strategy.parse(strategy.printed()) == strategy
    assert Selector.parse(selector.printed()) == selector


def test_what_an_object_lacks_has_a_default() -> None:
    empty = {"metadata": {"name": "x"}}
    assert NodeStateRow.parse(empty) == NodeStateRow(name="x")
    assert NodeRow.parse(empty) == NodeRow(name="x", ready=True)
    assert FleetStatus.parse({}) == FleetStatus()
    assert Strategy.parse({}) == Strategy()
    assert RevisionRow.parse(empty) is None, "a ControllerRevision of somebody else"


@pytest.mark.parametrize(
    ("conditions", "ready"),
    [
        ([], True),
        ([{"type": "Ready", "status": "True"}], True),
        ([{"type": "Ready", "status": "False"}], False),
        ([{"type": "Ready", "status": "Unknown"}], False),
        ([{"type": "DiskPressure", "status": "False"}], True),
    ],
)
def test_a_node_is_ready_unless_it_says_otherwise(conditions: list[Any], ready: bool) -> None:
    assert NodeRow.parse({"metadata": {"name": "n"}, "status": {"conditions": conditions}}).ready is ready


@pytest.mark.parametrize(
    ("expression", "matches"),
    [
        (Expression("a", "In", ("1", "2")), True),
        (Expression("a", "In", ("2",)), False),
        (Expression("a", "NotIn", ("2",)), True),
        (Expression("none", "NotIn", ("1",)), True),
        (Expression("none", "In", ("1",)), False),
        (Expression("a", "Exists"), True),
        (Expression("a", "DoesNotExist"), False),
        (Expression("none", "DoesNotExist"), True),
        (Expression("a", "Near"), False),
    ],
)
def test_expressions_are_judged_as_kubernetes_does(expression: Expression, matches: bool) -> None:
    assert Selector(match_expressions=(expression,)).matches({"a": "1"}) is matches


@pytest.mark.parametrize(
    ("share", "nodes", "up", "down"),
    [(Share(3), 10, 3, 3), (Share(3), 2, 2, 2), (Share(25, True), 10, 3, 2), (Share(0, True), 10, 0, 0)],
)
def test_a_share_of_nodes(share: Share, nodes: int, up: int, down: int) -> None:
    assert (share.of(nodes, up=True), share.of(nodes, up=False)) == (up, down)


@pytest.mark.parametrize(("text", "seconds"), [("30s", 30), ("1.5m", 90), ("250ms", 0.25), ("2h", 7200), ("x", 7)])
def test_durations(text: str, seconds: float) -> None:
    assert duration_of(text, 7) == seconds


def test_moments_are_whole_seconds_of_utc() -> None:
    assert stamp_of(1767225600.9) == "2026-01-01T00:00:00Z"
    assert moment_of("2026-01-01T01:00:00+01:00") == 1767225600
    assert moment_of("yesterday") == moment_of(None) == 0


def test_a_message_is_cut_to_what_the_schema_takes() -> None:
    report = ProgramReport(kind=KERNEL_PROGRAM, name="a", hash="", state=State.FAILED, message="ä" * 300)
    told = report.printed()["message"]
    assert len(told.encode()) <= MOST_MESSAGE_BYTES
    assert told.endswith("ä…")


def test_a_state_that_is_no_word_of_ours_is_left_out() -> None:
    said = [{"kind": KERNEL_PROGRAM, "name": "a", "hash": "", "state": "Dancing"}]
    assert NodeStateRow.parse({"metadata": {"name": "n"}, "status": {"programs": said}}).observed == ()


SPEC: dict[str, Any] = {
    "source": {"wasm": {"image": {"url": "registry.example/a:v1"}}},
    "nodeSelector": {"matchLabels": {"a": "b"}},
    "updateStrategy": {"pause": True},
}


def a_program(spec: dict[str, Any]) -> ProgramRow:
    return ProgramRow.parse(USER_PROGRAM, {"metadata": {"name": "a", "uid": "u", "generation": 2}, "spec": spec})


def test_of_what_is_there_twice_the_first_counts() -> None:
    entries = [{"kind": USER_PROGRAM, "name": "p", "revision": name, "hash": name} for name in "ab"]
    reports = [{"kind": USER_PROGRAM, "name": "p", "state": "Running", "hash": name} for name in "ab"]
    row = NodeStateRow.parse(
        {"metadata": {"name": "n1"}, "spec": {"programs": entries}, "status": {"programs": reports}}
    )
    assert [item.hash for item in row.spec] == ["a"]
    assert [item.hash for item in row.observed] == ["a"]


def test_where_and_how_it_is_rolled_out_is_no_content() -> None:
    bare = a_program({"source": SPEC["source"]})
    steered = a_program(SPEC)
    assert steered.spec_hash == bare.spec_hash
    assert steered.strategy.pause


def test_that_versions_do_not_overlap_is_content_as_nodes_must_heed_it() -> None:
    bare = {"source": SPEC["source"]}
    content = content_of(USER_PROGRAM, {**SPEC, "updateStrategy": {"type": "Recreate", "pause": True, "canary": 3}})
    assert content == {**bare, "updateStrategy": {"type": "Recreate"}}
    assert content_of(USER_PROGRAM, {**SPEC, "updateStrategy": {"type": "Overlap", "pause": True}}) == bare
    assert content_of(KERNEL_PROGRAM, {**SPEC, "updateStrategy": {"type": "Recreate"}}) == bare
    assert not a_program({**bare, "updateStrategy": {"type": "Recreate"}}).problem


def test_a_revision_holds_the_content_and_reads_back_as_a_row() -> None:
    program = a_program(SPEC)
    row, document = revision_of(program, content_of(USER_PROGRAM, SPEC), number=3, namespace="here")
    assert RevisionRow.parse(document) == row
    assert row.name == f"up-a-{row.hash[:10]}"
    assert row.hash == digest_of(FleetKey(USER_PROGRAM, "a"), document["data"]["spec"])
    assert set(document["data"]["spec"]) == {"source"}


def test_a_spec_of_another_version_is_a_problem_and_no_fault() -> None:
    assert "sauce" in a_program({**SPEC, "sauce": {}}).problem
    assert not a_program(SPEC).problem


@pytest.mark.parametrize("odd", [{"nodeSelector": {"matchLabels": 7}}, {"updateStrategy": ["pause"]}])
def test_a_row_is_there_however_odd_its_object_is(odd: dict[str, Any]) -> None:
    assert a_program({**SPEC, **odd}).problem
