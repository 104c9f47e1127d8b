"""What programs write is what the page shows, each under its own `program` label."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from conductor.errors import InvalidSpec, MetricClash, NotFound
from conductor.model.metrics import MetricKind


def test_set_and_add(bench: Any, spec: Any) -> None:
    sink = bench.store.sink("p", 10)
    ids = sink.intern(sink.declare(spec(labels=("a",))), [("x",), ("y",)])
    sink.set(ids, np.array([5.0, 7.0]))
    sink.add(ids[[0, 0]], np.array([1.0, 2.0]))
    assert bench.samples() == ['hits_total{a="x",program="p"} 8.0', 'hits_total{a="y",program="p"} 7.0']


def test_interned_rows_are_not_shown_before_they_are_written(bench: Any, spec: Any) -> None:
    sink = bench.store.sink("p", 10)
    sink.intern(sink.declare(spec(labels=("a",))), [("x",)])
    assert bench.text() == ""


def test_the_same_row_has_the_same_id(bench: Any, spec: Any) -> None:
    sink = bench.store.sink("p", 10)
    handle = sink.declare(spec(labels=("a",)))
    first = sink.intern(handle, [["x"], ("y",), ("x",)])
    assert first[0] == first[2] != first[1]
    assert sink.intern(handle, [("x",)])[0] == first[0]


def test_one_call_may_write_several_families(bench: Any, spec: Any) -> None:
    sink = bench.store.sink("p", 10)
    one, two = (sink.intern(sink.declare(spec(name)), [()]) for name in ("a", "b"))
    sink.set(np.concatenate([two, one, [-1]]), np.array([2.0, 1.0, 9.0]))
    assert bench.samples() == ['a{program="p"} 1.0', 'b{program="p"} 2.0']
    assert bench.store.usage("p").lost == 1


def test_the_same_spec_again_gives_the_same_handle(bench: Any, spec: Any) -> None:
    sink = bench.store.sink("p", 10)
    assert sink.declare(spec(ttl=5.0)) == sink.declare(spec(ttl=9.0))


def test_histogram_by_observation_bins_and_totals(bench: Any, spec: Any) -> None:
    sink = bench.store.sink("p", 100)
    ids = sink.intern(sink.declare(spec("took", MetricKind.HISTOGRAM, buckets=(1.0, 2.5))), [()])
    sink.observe(ids[[0, 0, 0, 0]], np.array([0.5, 1.0, 2.0, 9.0]))
    sink.merge(ids, np.array([[1.0, 0.0, 2.0]]), np.array([100.0]))
    assert bench.samples() == [
        'took_bucket{le="1.0",program="p"} 3.0',
        'took_bucket{le="2.5",program="p"} 4.0',
        'took_bucket{le="+Inf",program="p"} 7.0',
        'took_count{program="p"} 7.0',
        'took_sum{program="p"} 112.5',
    ]
    sink.set_bins(ids, np.array([[1.0, 1.0, 1.0]]), np.array([4.0]))
    assert bench.samples()[-2:] == ['took_count{program="p"} 3.0', 'took_sum{program="p"} 4.0']


def test_wrong_use_is_refused(bench: Any, spec: Any) -> None:
    sink = bench.store.sink("p", 100)
    histogram = sink.intern(sink.declare(spec("took", MetricKind.HISTOGRAM, buckets=(1.0,))), [()])
    counter = sink.intern(sink.declare(spec(labels=("a",))), [("x",)])
    wrongs: list[Callable[[], object]] = [
        lambda: sink.set(histogram, np.array([1.0])),
        lambda: sink.observe(counter, np.array([1.0])),
        lambda: sink.set(counter, np.array([1.0, 2.0])),
        lambda: sink.add(counter, np.array([-1.0])),
        lambda: sink.add(counter, np.array([np.nan])),
        lambda: sink.set(counter, np.array([-1.0])),
        lambda: sink.observe(histogram, np.array([np.nan])),
        lambda: sink.merge(histogram, np.array([[1.0, 2.0, 3.0]]), np.array([1.0])),
        lambda: sink.merge(histogram, np.array([[1.0, -2.0]]), np.array([1.0])),
        lambda: sink.intern(0, [("one", "many")]),
        lambda: sink.intern(1, [(1,)]),
        lambda: sink.intern(7, [()]),
    ]
    for wrong in wrongs:
        with pytest.raises(InvalidSpec):
            wrong()
    assert bench.text() == ""


def test_same_metric_of_two_programs_is_one_family(bench: Any, spec: Any, put: Any) -> None:
    for name in ("p", "q"):
        put(bench.store.sink(name, 10), spec(), {(): 1.0})
    assert bench.text() == (
        '# HELP hits_total Help.\n# TYPE hits_total counter\nhits_total{program="p"} 1.0\nhits_total{program="q"} 1.0\n'
    )


@pytest.mark.parametrize(
    ("theirs", "what"),
    [
        ({"help": "Other."}, "help text"),
        ({"labels": ("a",)}, "set of labels"),
        ({"name": "a_hits_total", "unit": "hits"}, "unit"),
        ({"name": "a_hits_total", "kind": MetricKind.GAUGE}, "kind"),
    ],
)
def test_clash_names_both_programs(bench: Any, spec: Any, theirs: dict[str, Any], what: str) -> None:
    fields = {"name": "hits_total"} | theirs
    bench.store.sink("first", 10).declare(spec(fields["name"]))
    second = bench.store.sink("second", 10)
    with pytest.raises(MetricClash, match=f"second.*{what}.*first"):
        second.declare(spec(**fields))
    with pytest.raises(MetricClash):
        bench.store.check("second", [spec(**fields)])
    bench.store.drop("first")
    assert second.declare(spec(**fields)) == 0


def test_names_that_would_meet_on_the_page_clash(bench: Any, spec: Any) -> None:
    bench.store.sink("p", 10).declare(spec("took", MetricKind.HISTOGRAM, buckets=(1.0,)))
    with pytest.raises(MetricClash, match="program q and took of program p"):
        bench.store.sink("q", 10).declare(spec("took_count"))


def test_dropped_program_is_gone_and_may_come_back_from_zero(bench: Any, spec: Any, put: Any) -> None:
    old = bench.store.sink("p", 10)
    ids = put(old, spec(), {(): 5.0})
    assert bench.samples() == ['hits_total{program="p"} 5.0']
    bench.store.drop("p")
    old.add(ids, np.array([1.0]))
    with pytest.raises(NotFound):
        old.declare(spec())
    assert bench.text() == ""
    put(bench.store.sink("p", 10), spec(), {(): 1.0})
    assert bench.samples() == ['hits_total{program="p"} 1.0']


def test_a_restarted_program_resumes(bench: Any, spec: Any) -> None:
    for _ in range(2):
        sink = bench.store.sink("p", 10)
        sink.add(sink.intern(sink.declare(spec()), [()]), np.array([2.0]))
    assert bench.samples() == ['hits_total{program="p"} 4.0']
