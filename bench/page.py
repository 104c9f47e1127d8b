"""The page of 100,000 series with 8 labels, text, no gzip: ours, the Python reference client, and Go's promhttp.

Series are counters of whole numbers, as counters are. Ours is timed from the tick (which copies what changed) to the
finished bytes. The reference client is given its samples ready made, so only `generate_latest` is timed; promhttp
renders through its real handler into a writer that copies nothing, the quicker of two ways to hold the series.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from json import dumps, loads
from pathlib import Path
from statistics import median

import numpy as np
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector
from typing_extensions import override

from bench.table import Row, show
from conductor.exporter.page import Page
from conductor.exporter.store import SeriesStore
from conductor.model.metrics import MetricKind, MetricSpec

SERIES = 100_000
ROUNDS = 9
SLOW_ROUNDS = 3
NAME = "bench_sent_bytes"
LABELS = ("client_kind", "client_name", "client_namespace", "role", "server_kind", "server_name", "server_port")
STEPS = {"all": 1, "some": 100, "none": 0}
"""Every how manieth series changes between two scrapes."""
TITLES = {"all": "all changed", "some": "1 % changed (scattered)", "none": "none changed"}
TARGETS = {"all": (10, 1), "some": (15, 4), "none": (None, None)}
"""How many times quicker than the reference client and than promhttp we want to be."""


def measure() -> list[Row]:
    """Measure all three in one run."""
    seconds = {who: dict(by_case) for who, by_case in (("ours", ours()), ("python", reference()), ("go", promhttp()))}
    rows = []
    for case, title in TITLES.items():
        for who, name, target in zip(("python", "go"), ("prometheus_client", "promhttp"), TARGETS[case], strict=True):
            rival = seconds[who].get(case)
            rows.append(
                Row(
                    name=f"page of {SERIES:,} series, {title}",
                    ours=seconds["ours"][case] * 1e3,
                    rival=rival * 1e3 if rival else None,
                    who=name if rival else "",
                    most=1 / target if target and rival else None,
                    note="" if rival else f"{name}: needs Go",
                )
            )
    return rows


def rows_of_labels() -> list[tuple[str, ...]]:
    return [
        ("Deployment", f"client-{i}", f"namespace-{i % 97}", "client", "Service", f"server-{i % 1013}", str(1024 + i % 4096))
        for i in range(SERIES)
    ]  # fmt: skip


def values(round_: int) -> NDArray[np.float64]:
    return ((np.arange(SERIES) * 7919) % 2_000_003 + round_ * 131).astype(np.float64)


def ours() -> Iterator[tuple[str, float]]:
    store = SeriesStore()
    page, sink = Page(store=store), store.sink("bench", SERIES)
    spec = MetricSpec(name=f"{NAME}_total", kind=MetricKind.COUNTER, help="Bytes sent.", labels=LABELS)
    ids = sink.intern(sink.declare(spec), rows_of_labels())
    sink.set(ids, values(0))
    scrape(page, 0)
    for case, step in STEPS.items():
        taken = []
        for round_ in range(1, ROUNDS + 1):
            if step:
                sink.set(ids[::step], values(round_ + 1000 * step)[::step])
            taken.append(timed(partial(scrape, page, round_)))
        yield case, median(taken)


def scrape(page: Page, now: float) -> bytes:
    page.tick(now)
    return page.render(openmetrics=False, gzip=False)


class Ready(Collector):
    """Hands out a family that is made already."""

    def __init__(self) -> None:
        self.family = CounterMetricFamily(NAME, "Bytes sent.")

    @override
    def collect(self) -> list[CounterMetricFamily]:
        return [self.family]


def reference() -> Iterator[tuple[str, float]]:
    """It encodes everything each time, so all cases cost the same; each is measured all the same."""
    ready, registry = Ready(), CollectorRegistry(auto_describe=False)
    registry.register(ready)
    rows = [(*row[:3], "bench", *row[3:]) for row in rows_of_labels()]
    for case in STEPS:
        taken = []
        for round_ in range(SLOW_ROUNDS):
            ready.family = CounterMetricFamily(NAME, "Bytes sent.", labels=[*LABELS[:3], "program", *LABELS[3:]])
            for row, value in zip(rows, values(round_).tolist(), strict=True):
                ready.family.add_metric(row, value)
            taken.append(timed(partial(generate_latest, registry)))
        yield case, median(taken)


def promhttp() -> Iterator[tuple[str, float]]:
    """Nothing where Go is not installed."""
    if shutil.which("go") is None:
        return
    with tempfile.TemporaryDirectory() as place:
        program = Path(place) / "page"
        here = Path(__file__).parent / "go"
        subprocess.run(["go", "build", "-o", str(program), "."], cwd=here, check=True)
        answer = loads(subprocess.run([program, "-rounds", str(ROUNDS)], capture_output=True, check=True).stdout)
    for case in STEPS:
        yield case, min(answer[case]["vec"], answer[case]["const"])


def timed(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


if __name__ == "__main__":
    measured = measure()
    show(measured)
    print(dumps([{**asdict(row), "ratio": row.ratio} for row in measured], indent=1))
