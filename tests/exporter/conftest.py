"""A store with its page, and short words for what tests write into it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from conductor.exporter.page import Page
from conductor.exporter.sink import ProgramSeries
from conductor.exporter.store import SeriesStore
from conductor.model.metrics import MetricKind, MetricSpec


@dataclass
class Bench:
    """A store, its page and a clock that stands still until told."""

    store: SeriesStore = field(default_factory=SeriesStore)
    now: float = 1_000.0

    def __post_init__(self) -> None:
        self.page = Page(store=self.store)

    def tick(self, seconds: float = 1.0) -> None:
        self.now += seconds
        self.page.tick(self.now)

    def text(self, *, openmetrics: bool = False, **filters: Any) -> str:
        """The page after one more tick."""
        self.tick()
        return self.page.render(openmetrics=openmetrics, gzip=False, **filters).decode()

    def samples(self, **filters: Any) -> list[str]:
        return [line for line in self.text(**filters).splitlines() if not line.startswith("#")]


def make_spec(name: str = "hits_total", kind: MetricKind | None = None, **fields: Any) -> MetricSpec:
    """A spec whose kind follows from its name."""
    kind = kind or (MetricKind.COUNTER if name.endswith("_total") else MetricKind.GAUGE)
    return MetricSpec(name=name, kind=kind, **({"help": "Help."} | fields))


def write(sink: ProgramSeries, spec: MetricSpec, values: Mapping[tuple[str, ...], float]) -> Any:
    """Declare, intern and set; answers the ids."""
    ids = sink.intern(sink.declare(spec), list(values))
    sink.set(ids, np.array(list(values.values()), np.float64))
    return ids


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture
def spec() -> Any:
    return make_spec


@pytest.fixture
def put() -> Any:
    return write
