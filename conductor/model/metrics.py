"""Metrics as programs declare them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["MetricKind", "MetricSpec"]


class MetricKind(StrEnum):
    """The three kinds that programs may declare (OpenMetrics 1.0, section 5)."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricSpec:
    """One metric family. `name` is as exposed in the text format (counters end in `_total`); `ttl` in seconds."""

    name: str
    kind: MetricKind
    help: str
    unit: str = ""
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    """Upper bounds of a histogram, ascending, without +Inf."""
    ttl: float | None = None
    """A series leaves after this long without a write; None: never."""
