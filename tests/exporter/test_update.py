"""An update declares a metric otherwise: old and new version live side by side for a while."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from conductor.errors import BudgetExceeded, MetricClash

ONE = np.array([1.0])
NEW = 'hits_total{a="x",program="p"} 1.0'


def test_the_new_version_takes_the_name_over(bench: Any, spec: Any, put: Any) -> None:
    sink = bench.store.sink("p", 10)
    put(sink, spec(), {(): 5.0})
    bench.tick()
    put(sink, spec(help="New.", labels=("a",)), {("x",): 1.0})
    assert bench.text() == f"# HELP hits_total New.\n# TYPE hits_total counter\n{NEW}\n"


def test_the_old_version_stays_until_the_new_one_writes(bench: Any, spec: Any, put: Any) -> None:
    sink = bench.store.sink("p", 10)
    put(sink, spec(), {(): 5.0})
    bench.tick()
    sink.declare(spec(labels=("a",)))
    assert bench.samples() == ['hits_total{program="p"} 5.0']


def test_while_both_write_the_new_one_is_shown(bench: Any, spec: Any, put: Any) -> None:
    sink = bench.store.sink("p", 10)
    old = put(sink, spec(), {(): 5.0})
    put(sink, spec(labels=("a",)), {("x",): 1.0})
    for _ in range(5):
        sink.add(old, ONE)
        assert bench.samples() == [NEW]


def test_a_failed_update_returns_to_the_old_ids_with_nothing_lost(bench: Any, spec: Any, put: Any) -> None:
    sink = bench.store.sink("p", 10)
    old = put(sink, spec(), {(): 5.0})
    bench.tick()
    put(sink, spec(labels=("a",)), {("x",): 1.0})
    for _ in range(15):
        sink.add(old, ONE)
        bench.tick()
    assert bench.samples() == ['hits_total{program="p"} 20.0']
    assert bench.store.usage("p").lost == 0


def test_many_updates_leave_nothing_behind(bench: Any, spec: Any, put: Any) -> None:
    sink = bench.store.sink("p", 4)
    for round_ in range(1_500):
        put(sink, spec(help=f"Version {round_}."), {(): float(round_)})
        bench.tick()
    assert bench.samples() == ['hits_total{program="p"} 1499.0']
    assert bench.store.usage("p").refused == 0
    assert len(sink._tables) == 2


def test_an_idle_old_version_makes_room_in_the_budget(bench: Any, spec: Any, put: Any) -> None:
    sink = bench.store.sink("p", 2)
    put(sink, spec(labels=("a",)), {("x",): 1.0, ("y",): 1.0})
    bench.tick()
    for _ in range(3):
        put(sink, spec(labels=("a",), help="New."), {("x",): 1.0, ("y",): 1.0})
        bench.tick()
    assert len(bench.samples()) == 2


def test_another_program_still_holds_the_name(bench: Any, spec: Any) -> None:
    for name in ("p", "q"):
        bench.store.sink(name, 10).declare(spec())
    with pytest.raises(MetricClash, match=r"program p.*program q"):
        bench.store.sink("p", 10).declare(spec(help="New."))


def test_metrics_per_program_have_a_bound(bench: Any, spec: Any) -> None:
    sink = bench.store.sink("p", 10)
    for index in range(1_000):
        sink.declare(spec(f"m{index}"))
    with pytest.raises(BudgetExceeded):
        sink.declare(spec("one_more"))
    assert sink.declare(spec("m0")) == 0
