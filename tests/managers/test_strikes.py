"""Quarantine ends by itself, later each time."""

from __future__ import annotations

from conductor.errors import BudgetExceeded
from conductor.managers.strikes import CRASHES, STUCK, WINDOW_SECONDS, Strikes
from conductor.model.ids import Name


def test_a_broken_budget_is_forgiven_after_a_while_and_later_the_next_time() -> None:
    strikes = Strikes(first=30.0)
    assert strikes.out(100.0, budget=True)
    assert strikes.left(110.0) == 20.0
    assert "tried again after 30 s" in strikes.condition(Name("p"), BudgetExceeded("too much")).message
    strikes.release()
    assert not strikes.is_out
    assert strikes.out(140.0, budget=True)
    assert strikes.left(140.0) == 60.0


def test_a_program_that_did_well_for_long_begins_anew() -> None:
    strikes = Strikes(first=30.0)
    strikes.out(100.0, budget=True)
    strikes.release()
    strikes.out(131.0 + WINDOW_SECONDS, budget=True)
    assert strikes.left(131.0 + WINDOW_SECONDS) == 30.0


def test_after_release_it_takes_as_many_crashes_again() -> None:
    strikes = Strikes(first=30.0)
    assert [strikes.out(float(i)) for i in range(CRASHES)] == [False] * (CRASHES - 1) + [True]
    strikes.release()
    assert [strikes.out(40.0 + i) for i in range(CRASHES)] == [False] * (CRASHES - 1) + [True]


def test_stuck_threads_are_not_forgiven() -> None:
    strikes = Strikes(first=30.0)
    outs = [strikes.out(float(i), stuck=True) for i in range(STUCK)]
    assert outs[-1]
    assert strikes.left(1e9) is None
    assert "not tried any more" in strikes.condition(Name("p"), BudgetExceeded("x")).message
