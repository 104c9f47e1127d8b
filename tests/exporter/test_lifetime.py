"""When series leave, when they resume, and what an old id meets."""

from __future__ import annotations

from typing import Any

import numpy as np

from conductor.model.metrics import MetricKind

ONE = np.array([1.0])


def test_series_leaves_after_its_ttl_without_a_write(bench: Any, spec: Any, put: Any) -> None:
    put(bench.store.sink("p", 10), spec(ttl=60.0), {(): 5.0})
    bench.tick()
    bench.tick(59.0)
    assert bench.page.render(openmetrics=False, gzip=False)
    bench.tick(1.0)
    assert bench.page.render(openmetrics=False, gzip=False) == b""
    assert bench.store.usage("p").series == 0


def test_a_write_of_the_same_number_keeps_a_series(bench: Any, spec: Any, put: Any) -> None:
    sink = bench.store.sink("p", 10)
    for _ in range(5):
        put(sink, spec(ttl=60.0), {(): 5.0})
        bench.tick(40.0)
    assert bench.samples() == ['hits_total{program="p"} 5.0']


def test_an_expired_counter_begins_again_by_its_old_id(bench: Any, spec: Any, put: Any) -> None:
    sink = bench.store.sink("p", 10)
    ids = put(sink, spec(ttl=60.0), {(): 5.0})
    bench.tick()
    bench.tick(61.0)
    sink.add(ids, ONE)
    assert bench.samples() == ['hits_total{program="p"} 1.0']


def test_a_removed_counter_that_returns_within_the_ttl_resumes(bench: Any, spec: Any) -> None:
    sink = bench.store.sink("p", 10)
    handle = sink.declare(spec(labels=("a",), ttl=60.0))
    sink.set(sink.intern(handle, [("x",)]), np.array([5.0]))
    bench.tick()
    sink.remove(sink.intern(handle, [("x",)]))
    assert bench.text() == ""
    bench.tick(50.0)
    sink.add(sink.intern(handle, [("x",)]), ONE)
    assert bench.samples() == ['hits_total{a="x",program="p"} 6.0']


def test_a_removed_counter_that_returns_later_begins_again(bench: Any, spec: Any) -> None:
    sink = bench.store.sink("p", 10)
    handle = sink.declare(spec(labels=("a",), ttl=60.0))
    sink.set(sink.intern(handle, [("x",)]), np.array([5.0]))
    bench.tick()
    sink.remove(sink.intern(handle, [("x",)]))
    bench.tick(61.0)
    sink.add(sink.intern(handle, [("x",)]), ONE)
    assert bench.samples() == ['hits_total{a="x",program="p"} 1.0']


def test_without_a_ttl_removal_forgets_at_once(bench: Any, spec: Any, put: Any) -> None:
    sink = bench.store.sink("p", 1)
    old = put(sink, spec(labels=("a",)), {("x",): 5.0})
    sink.remove(old)
    put(sink, spec(labels=("a",)), {("y",): 1.0})
    sink.add(old, ONE)
    assert bench.samples() == ['hits_total{a="y",program="p"} 1.0']
    assert bench.store.usage("p").lost == 1


def test_ids_that_never_were_are_counted_as_lost(bench: Any, spec: Any, put: Any) -> None:
    sink = bench.store.sink("p", 10)
    put(sink, spec(), {(): 5.0})
    wild = np.array([-1, -(2**63), 2**63 - 1, 12345, 1 << 48, 1 << 32], np.int64)
    sink.set(wild, np.full(len(wild), 9.0))
    sink.remove(wild)
    assert bench.samples() == ['hits_total{program="p"} 5.0']
    assert bench.store.usage("p").lost == 2 * len(wild)


def test_budget_refuses_rows_and_counts_them(bench: Any, spec: Any) -> None:
    sink = bench.store.sink("p", 2)
    ids = sink.intern(sink.declare(spec(labels=("a",))), [("x",), ("y",), ("z",), ("x",)])
    assert ids.tolist().count(-1) == 1
    assert ids[2] == -1
    sink.set(ids, np.arange(4.0))
    assert bench.samples() == ['hits_total{a="x",program="p"} 3.0', 'hits_total{a="y",program="p"} 1.0']
    usage = bench.store.usage("p")
    assert (usage.series, usage.refused, usage.lost) == (2, 1, 1)


def test_a_neighbour_past_its_budget_harms_nobody(bench: Any, spec: Any, put: Any) -> None:
    greedy = bench.store.sink("greedy", 3)
    greedy.intern(greedy.declare(spec(labels=("a",))), [(str(i),) for i in range(1_000)])
    put(bench.store.sink("p", 3), spec(labels=("a",)), {("x",): 1.0})
    assert bench.samples() == ['hits_total{a="x",program="p"} 1.0']
    assert bench.store.usage("greedy").refused == 997


def test_a_histogram_costs_all_its_lines(bench: Any, spec: Any) -> None:
    sink = bench.store.sink("p", 9)
    handle = sink.declare(spec("took", MetricKind.HISTOGRAM, labels=("a",), buckets=(1.0, 2.0)))
    ids = sink.intern(handle, [("x",), ("y",)])
    sink.observe(ids, np.array([1.0, 1.0]))
    assert ids[1] == -1
    assert len(bench.samples()) == bench.store.usage("p").series == 5


def test_what_left_the_page_makes_room_in_the_budget(bench: Any, spec: Any, put: Any) -> None:
    sink = bench.store.sink("p", 2)
    old = put(sink, spec(labels=("a",), ttl=60.0), {("x",): 1.0, ("y",): 1.0})
    bench.tick()
    sink.remove(old[:1])
    bench.tick(30.0)
    put(sink, spec(labels=("a",), ttl=60.0), {("z",): 3.0})
    assert bench.samples() == ['hits_total{a="z",program="p"} 3.0', 'hits_total{a="y",program="p"} 1.0']
    assert bench.store.usage("p").refused == 0


def test_label_values_have_a_bound(bench: Any, spec: Any) -> None:
    sink = bench.store.sink("p", 10)
    ids = sink.intern(sink.declare(spec(labels=("a",))), [("x" * 1_024,), ("x" * 1_025,)])
    assert (ids < 0).tolist() == [False, True]


def test_values_that_become_the_same_text_are_one_series(bench: Any, spec: Any, put: Any) -> None:
    put(bench.store.sink("p", 10), spec(labels=("a",)), {("\ud800",): 1.0, ("?",): 2.0})
    assert bench.samples() == ['hits_total{a="?",program="p"} 2.0']
