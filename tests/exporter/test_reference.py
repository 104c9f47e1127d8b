"""The page is compared byte for byte with the reference client's, fed with the same numbers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString
from typing_extensions import override

from conductor.model.metrics import MetricKind

HOSTILE = [
    "plain",
    "",
    'quo"te',
    "back\\slash",
    "new\nline",
    "ü 漢 🦄",
    "{0}",
    "{",
    "a}b{",
    "\t \r",
    "%s",
    "# EOF",
    "\x00",
]
NUMBERS = [
    0.0,
    1.0,
    -1.5,
    1e6,
    123456789012.0,
    2.0**53,
    0.1,
    1e21,
    -1e7,
    float("inf"),
    -float("inf"),
    float("nan"),
    -0.0,
]
HELP = 'Help with "quotes", a \\ and\na new line, ü.'


class Fixed(Collector):
    def __init__(self, *families: Metric) -> None:
        self._families = families

    @override
    def collect(self) -> Iterable[Metric]:
        return self._families


def spelled(value: float) -> str:
    return str(floatToGoString(value))  # type: ignore[no-untyped-call]


def reference(*families: Metric, openmetrics: bool) -> str:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Fixed(*families))
    return (generate_openmetrics if openmetrics else generate_latest)(registry).decode()


@pytest.fixture(params=[False, True], ids=["text", "openmetrics"])
def openmetrics(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def test_counters_with_unit_and_hostile_labels(bench: Any, spec: Any, put: Any, openmetrics: bool) -> None:
    rows = {(value, f"z{index}"): abs(NUMBERS[index % 10]) for index, value in enumerate(HOSTILE)}
    family = CounterMetricFamily("sent_bytes", HELP, labels=["program", "what", "abc"], unit="bytes")
    for row, number in rows.items():
        family.add_metric(["p", *row], number)
    metric = spec("sent_bytes_total", help=HELP, unit="bytes", labels=("what", "abc"))
    put(bench.store.sink("p", 100), metric, rows)
    assert bench.text(openmetrics=openmetrics) == reference(family, openmetrics=openmetrics)


def test_gauges_of_any_number(bench: Any, spec: Any, put: Any, openmetrics: bool) -> None:
    family = GaugeMetricFamily("level", HELP, labels=["program", "which"])
    for index, number in enumerate(NUMBERS):
        family.add_metric(["p", str(index)], number)
    rows = {(str(index),): number for index, number in enumerate(NUMBERS)}
    put(bench.store.sink("p", 100), spec("level", help=HELP, labels=("which",)), rows)
    assert bench.text(openmetrics=openmetrics) == reference(family, openmetrics=openmetrics)


def test_gauges_of_two_programs(bench: Any, spec: Any, put: Any, openmetrics: bool) -> None:
    one, two = GaugeMetricFamily("a_level", "", labels=["program"]), GaugeMetricFamily("b", HELP, labels=["program"])
    for program in ("p", "q-1.x"):
        one.add_metric([program], 3.0)
        two.add_metric([program], 1763870000.125)
        put(bench.store.sink(program, 10), spec("a_level", help=""), {(): 3.0})
        put(bench.store.sink(program, 10), spec("b", help=HELP), {(): 1763870000.125})
    assert bench.text(openmetrics=openmetrics) == reference(one, two, openmetrics=openmetrics)


@pytest.mark.parametrize("bounds", [(0.005, 0.1, 1.0, 2.5, 1e6, 2e7), (-1.0, 0.0, 1.0)], ids=["usual", "negative"])
def test_histograms(bench: Any, spec: Any, openmetrics: bool, bounds: tuple[float, ...]) -> None:
    sink = bench.store.sink("p", 100)
    metric = spec("took_seconds", MetricKind.HISTOGRAM, unit="seconds", labels=("way", "zone"), buckets=bounds)
    ids = sink.intern(sink.declare(metric), [("in", "a"), ('o"ut', "b")])
    values = np.array([-5.0, 0.001, 0.1, 0.3, 1.0, 7.0, 3e7])
    family = HistogramMetricFamily("took_seconds", "Help.", labels=["program", "way", "zone"], unit="seconds")
    for row, (way, zone) in enumerate([("in", "a"), ('o"ut', "b")]):
        sink.observe(np.full(len(values), ids[row]), values + row)
        cumulative = [(spelled(le), float(np.sum(values + row <= le))) for le in (*bounds, float("inf"))]
        total = 0.0
        for value in values + row:
            total += value
        family.add_metric(["p", way, zone], cumulative, total)
    assert bench.text(openmetrics=openmetrics) == reference(family, openmetrics=openmetrics)


def test_agent_metrics_bear_no_extra_label(bench: Any, spec: Any, put: Any, openmetrics: bool) -> None:
    info = spec("conductor_build_info", labels=("version",))
    put(bench.store.self_sink(), info, {("0.1.0",): 1.0})
    family = GaugeMetricFamily("conductor_build_info", "Help.", labels=["version"])
    family.add_metric(["0.1.0"], 1.0)
    assert bench.text(openmetrics=openmetrics) == reference(family, openmetrics=openmetrics)


def test_an_empty_page(bench: Any, openmetrics: bool) -> None:
    assert bench.text(openmetrics=openmetrics) == reference(openmetrics=openmetrics)
