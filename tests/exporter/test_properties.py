"""Whatever programs write, both formats read back to the same series and numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text

from conductor.exporter.page import Page
from conductor.exporter.store import SeriesStore
from conductor.model.metrics import MetricKind, MetricSpec

LABELS = ("zone", "a", "quantile_")
ROWS = st.tuples(*[st.text(max_size=20) for _ in LABELS])
SERIES = st.dictionaries(ROWS, st.floats(allow_nan=False) | st.integers(-(10**17), 10**17).map(float), max_size=8)
HELP = st.text(max_size=30)


def page_of(spec: MetricSpec, series: Mapping[tuple[str, ...], float]) -> Page:
    store = SeriesStore()
    sink = store.sink("p", 1_000)
    ids = sink.intern(sink.declare(spec), list(series))
    sink.set(ids, np.array(list(series.values()), np.float64))
    page = Page(store=store)
    page.tick(1.0)
    return page


def parsed(text: str) -> list[Any]:
    return list(read_openmetrics(text))  # type: ignore[no-untyped-call]


def read(page: Page, *, openmetrics: bool) -> dict[tuple[str, ...], float]:
    text = page.render(openmetrics=openmetrics, gzip=False).decode()
    families = parsed(text) if openmetrics else list(read_text(text))
    found = {}
    for family in families:
        for sample in family.samples:
            assert sample.labels.pop("program") == "p"
            row = tuple(sample.labels[label] for label in LABELS)
            assert row not in found
            found[row] = float(sample.value)
    return found


@given(SERIES, HELP, st.booleans())
def test_gauges_read_back(series: dict[tuple[str, ...], float], words: str, openmetrics: bool) -> None:
    spec = MetricSpec(name="level", kind=MetricKind.GAUGE, help=words, labels=LABELS)
    assert read(page_of(spec, series), openmetrics=openmetrics) == series


@given(st.dictionaries(ROWS, st.integers(0, 2**53), max_size=8), HELP, st.booleans())
def test_counters_read_back_exactly(series: dict[tuple[str, ...], int], words: str, openmetrics: bool) -> None:
    spec = MetricSpec(name="hits_total", kind=MetricKind.COUNTER, help=words, labels=LABELS)
    page = page_of(spec, {row: float(value) for row, value in series.items()})
    assert {row: int(value) for row, value in read(page, openmetrics=openmetrics).items()} == series


@given(
    st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=6, unique=True),
    st.lists(st.floats(-1e9, 1e9), max_size=30),
    st.text(max_size=20),
)
def test_histograms_read_back(bounds: list[float], values: list[float], label: str) -> None:
    bounds = sorted(bounds)
    if bounds[0] >= 0:
        values = list(map(abs, values))  # else the sum could fall below 0, which strict readers refuse
    store = SeriesStore()
    sink = store.sink("p", 1_000)
    spec = MetricSpec(name="took", kind=MetricKind.HISTOGRAM, help="", labels=("a",), buckets=tuple(bounds))
    ids = sink.intern(sink.declare(spec), [(label,)])
    sink.observe(np.repeat(ids, len(values)), np.array(values))
    page = Page(store=store)
    page.tick(1.0)
    text = page.render(openmetrics=True, gzip=False).decode()
    samples = [sample for family in parsed(text) for sample in family.samples]
    counts = {float(s.labels["le"]): s.value for s in samples if s.name == "took_bucket"}
    wanted = {le: sum(value <= le for value in values) for le in (*bounds, math.inf)}
    assert counts == (wanted if values else {})
    assert all(sample.labels["a"] == label for sample in samples)


KEYS = st.integers(0, 5).map(lambda i: (str(i),))
STEPS = st.one_of(
    st.tuples(st.just("set"), KEYS, st.floats(0, 1e9)),
    st.tuples(st.just("add"), KEYS, st.floats(0, 1e9)),
    st.tuples(st.just("remove"), KEYS, st.just(0.0)),
    st.tuples(st.just("tick"), KEYS, st.just(0.0)),
)


@given(st.lists(STEPS, max_size=40), st.integers(1, 7))
def test_any_history_ends_like_a_plain_dictionary(steps: list[tuple[str, Any, float]], budget: int) -> None:
    store = SeriesStore()
    model: dict[tuple[str, ...], float] = {}
    page, sink = Page(store=store), store.sink("p", budget)
    handle = sink.declare(MetricSpec(name="hits_total", kind=MetricKind.COUNTER, help="", labels=("a",)))
    for number, (verb, key, value) in enumerate(steps):
        if verb == "tick":
            page.tick(float(number))
            page.render(openmetrics=False, gzip=False)
        elif verb == "remove":
            sink.remove(sink.intern(handle, [key]))
            model.pop(key, None)
        else:
            getattr(sink, verb)(sink.intern(handle, [key]), np.array([value]))
            if key in model or len(model) < budget:
                model[key] = value + (model.get(key, 0.0) if verb == "add" else 0.0)
    page.tick(100.0)
    families = read_text(page.render(openmetrics=False, gzip=False).decode())
    assert {(s.labels["a"],): s.value for family in families for s in family.samples} == model
    assert sink._used == sum(len(table.index) * table.lines for table in sink._tables.values()) <= budget


WILD_STEPS = st.one_of(
    st.tuples(st.sampled_from(["add", "hold", "remove"]), st.integers(0, 2), st.integers(0, 6)),
    st.tuples(st.just("tick"), st.just(0), st.sampled_from([1, 20, 70])),
    st.tuples(st.sampled_from(["budget", "declare"]), st.integers(0, 2), st.integers(1, 6)),
)


@given(st.lists(WILD_STEPS, max_size=60))
def test_updates_ttls_and_budgets_keep_their_books(steps: list[tuple[str, int, int]]) -> None:
    specs = [
        MetricSpec(name="hits_total", kind=MetricKind.COUNTER, help=words, labels=("a",), ttl=ttl)
        for words, ttl in (("One.", None), ("Two.", 60.0), ("Three.", 60.0))
    ]
    store, now, budget = SeriesStore(), 0.0, 6
    page, sink = Page(store=store), store.sink("p", budget)
    ids: dict[tuple[int, int], Any] = {}
    for verb, which, number in steps:
        match verb:
            case "tick":
                now += number
                page.tick(now)
            case "budget":
                budget = max(budget, number)
                store.sink("p", budget)
            case "declare":
                sink.declare(specs[which])
            case "hold":
                ids[which, number] = sink.intern(sink.declare(specs[which]), [(str(number),)])
            case "add" | "remove" if (which, number) in ids:
                row = ids[which, number]
                sink.add(row, np.ones(1)) if verb == "add" else sink.remove(row)
        assert sink._used == sum(len(table.index) * table.lines for table in sink._tables.values()) <= budget
    page.tick(now + 1)
    samples = [s for family in parsed(page.render(openmetrics=True, gzip=False).decode()) for s in family.samples]
    assert len({sample.labels["a"] for sample in samples}) == len(samples) == store.usage("p").series
