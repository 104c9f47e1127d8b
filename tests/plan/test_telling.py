"""When a node tells its cluster: twice per change at most, and seldom what comes and goes."""

from __future__ import annotations

from dataclasses import replace

from conductor.model.fleet import AgentReport, NodeStateRow, ProgramReport
from conductor.model.status import State
from conductor.plan.telling import LONGEST, OUTCOME, PASSING, PROGRESS, Telling

READY = AgentReport(version="1", ready=True)
NEVER = NodeStateRow(name="n1", generation=1)


def row(state: State = State.RUNNING, *, generation: int = 1, reason: str = "", message: str = "") -> NodeStateRow:
    report = ProgramReport(kind="UserProgram", name="p", hash="h", state=state, reason=reason, message=message)
    return NodeStateRow(name="n1", observed=(report,), observed_generation=generation, agent=READY)


def calm() -> Telling:
    """One that told an outcome long ago."""
    telling = Telling()
    assert telling.due(row(), row(), 0) is None
    return telling


def test_a_change_that_is_done_is_told_at_once_and_once() -> None:
    telling = Telling()
    assert telling.due(NEVER, row(), 5) == 5
    telling.wrote(5)
    assert telling.due(row(), row(), 6) is None


def test_one_that_takes_time_is_told_as_progress_and_then_by_its_outcome() -> None:
    telling, begun = Telling(), row(State.PULLING)
    assert telling.due(NEVER, begun, 5) == 5 + PROGRESS
    telling.wrote(6)
    assert telling.due(begun, begun, 6) is None
    steps = row(State.INITIALIZED)
    assert telling.due(begun, steps, 7) == 5 + OUTCOME, "steps in between are not told"
    assert telling.due(begun, row(), 9) == 9


def test_steps_of_one_that_takes_very_long_are_told() -> None:
    telling = Telling()
    telling.due(NEVER, row(State.PULLING), 0)
    telling.wrote(1)
    assert telling.due(row(State.PULLING), row(State.WAITING), OUTCOME + 1) == OUTCOME + 1 + PASSING


def test_one_that_waits_for_ever_delays_nobodys_outcome() -> None:
    def two(state: State, *others: ProgramReport) -> NodeStateRow:
        return replace(row(state, reason="MapMissing", generation=2), observed=(*row(state).observed, *others))

    going = ProgramReport(kind="UserProgram", name="q", hash="h", state=State.UPDATING, reason="Unloading")
    telling = Telling()
    assert telling.due(NEVER, two(State.WAITING, going), 5) == 5 + PROGRESS
    telling.wrote(6)
    told = two(State.WAITING, going)
    assert telling.due(told, two(State.WAITING), 7) == 7, "the other one is gone"
    assert telling.due(told, two(State.INITIALIZED), 7) == 5 + OUTCOME, "this one is on its way"


def test_the_next_change_is_told_at_once_whatever_was_before() -> None:
    telling = calm()
    for now in (10, 20, 30):
        telling.due(row(), row(State.FAILED), now)
        telling.wrote(now)
    assert telling.due(row(), row(generation=2), 40) == 40


def test_what_comes_and_goes_is_told_ever_more_seldom() -> None:
    telling, now, gaps = calm(), 100.0, []
    told, other = row(), row(State.FAILED, reason="ProgramCrashed")
    for _ in range(14):
        due = telling.due(told, other, now)
        assert due is not None
        gaps.append(due - now)
        telling.wrote(due)
        told, other, now = other, told, due
    assert gaps == sorted(gaps)
    assert (gaps[0], gaps[-1]) == (1.0, LONGEST)


def test_what_was_over_before_it_was_told_is_not_told() -> None:
    telling = calm()
    assert telling.due(row(), row(State.FAILED), 10) == 11
    assert telling.due(row(), row(), 10.5) is None
    assert telling.due(row(), row(State.FAILED), 20) == 21


def test_after_a_calm_time_it_is_told_soon_again() -> None:
    telling = calm()
    for now in range(10, 60, 10):
        telling.due(row(), row(State.FAILED), now)
        telling.wrote(now)
    telling.due(row(), row(State.FAILED), 10_000)
    telling.wrote(10_000)
    assert telling.due(row(), row(State.FAILED), 20_000) == 20_001


def test_numbers_and_times_are_no_news() -> None:
    before = row(State.FAILED, reason="X", message="failed 3 times")
    after = row(State.FAILED, reason="X", message="failed 47 times")
    after = replace(after, observed=tuple(replace(item, since=9.0) for item in after.observed))
    assert calm().due(before, after, 10) is None
    assert calm().due(before, row(State.FAILED, reason="X", message="another thing"), 10) is not None


def test_an_agent_that_starts_waits_before_it_takes_back_what_it_told() -> None:
    telling = Telling()
    starting = replace(row(State.INITIALIZED), agent=replace(READY, ready=False))
    assert telling.due(row(), starting, 0) == PASSING
    assert telling.due(row(), row(), 3) is None
