"""Names of metrics: which may be declared, what a family is called in each format, which sample names it takes."""

from __future__ import annotations

import math
import re
from typing import Final

from conductor.errors import InvalidSpec
from conductor.model.metrics import MetricKind, MetricSpec

__all__ = [
    "RESERVED_LABEL",
    "RESERVED_PREFIX",
    "Shape",
    "base_name",
    "check",
    "is_reserved",
    "sample_names",
    "shape_of",
]

RESERVED_PREFIX: Final = "conductor_"
RESERVED_LABEL: Final = "program"

_METRIC: Final = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]{0,199}")
_LABEL: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]{0,99}")
_UNIT: Final = re.compile(r"[a-zA-Z0-9_:]{1,50}")
_LABELS_MAX: Final = 32
_BUCKETS_MAX: Final = 256
_HELP_MAX: Final = 2_000

Shape = tuple[MetricKind, str, str, tuple[str, ...], tuple[float, ...]]
"""What two programs must agree on when they declare one name: kind, help, unit, label names, buckets."""


def is_reserved(name: str) -> bool:
    """Whether only the agent may declare this metric."""
    return name.startswith(RESERVED_PREFIX)


def shape_of(spec: MetricSpec) -> Shape:
    """Metadata of a family; `ttl` and the order of labels are each program's own business."""
    return spec.kind, spec.help, spec.unit, tuple(sorted(spec.labels)), spec.buckets


def base_name(spec: MetricSpec) -> str:
    """Name of the family in OpenMetrics (a counter without `_total`)."""
    return spec.name.removesuffix("_total") if spec.kind is MetricKind.COUNTER else spec.name


def sample_names(spec: MetricSpec) -> frozenset[str]:
    """Every name that lines of this family may bear in either format; no other family may take one of them."""
    base = base_name(spec)
    match spec.kind:
        case MetricKind.GAUGE:
            return frozenset({base})
        case MetricKind.COUNTER:
            return frozenset({base, f"{base}_total", f"{base}_created"})
        case MetricKind.HISTOGRAM:
            return frozenset({base, f"{base}_bucket", f"{base}_count", f"{base}_sum", f"{base}_created"})


def check(spec: MetricSpec, *, by_agent: bool) -> None:
    """Refuse what no page may hold. Raises `InvalidSpec`."""
    if not _METRIC.fullmatch(spec.name):
        raise InvalidSpec("metric.name", f"{spec.name[:80]!r} is not a metric name: use letters, digits and _ (200)")
    _check_reserved(spec, by_agent=by_agent)
    if spec.kind is MetricKind.COUNTER and not base_name(spec) != spec.name:
        raise InvalidSpec("metric.name", f"{spec.name}: the name of a counter ends in _total")
    if not base_name(spec):
        raise InvalidSpec("metric.name", f"{spec.name}: something must stand before _total")
    _check_labels(spec)
    _check_unit_and_help(spec)
    _check_buckets(spec)


def _check_reserved(spec: MetricSpec, *, by_agent: bool) -> None:
    if by_agent:
        return
    if is_reserved(spec.name):
        raise InvalidSpec("metric.name", f"{spec.name}: the prefix {RESERVED_PREFIX} is the agent's own")
    if RESERVED_LABEL in spec.labels:
        raise InvalidSpec("metric.labels", f"{spec.name}: the label {RESERVED_LABEL} is set by the agent; leave it out")


def _check_labels(spec: MetricSpec) -> None:
    if len(spec.labels) > _LABELS_MAX:
        raise InvalidSpec("metric.labels", f"{spec.name}: more than {_LABELS_MAX} labels")
    if len(set(spec.labels)) != len(spec.labels):
        raise InvalidSpec("metric.labels", f"{spec.name}: a label is named twice")
    for label in spec.labels:
        if not _LABEL.fullmatch(label) or label.startswith("__"):
            raise InvalidSpec("metric.labels", f"{spec.name}: {label[:80]!r} is not a label name (letters, digits, _)")
        if label == "le" and spec.kind is MetricKind.HISTOGRAM:
            raise InvalidSpec("metric.labels", f"{spec.name}: `le` is what a histogram writes itself")


def _check_unit_and_help(spec: MetricSpec) -> None:
    if spec.unit and not (_UNIT.fullmatch(spec.unit) and base_name(spec).endswith(f"_{spec.unit}")):
        raise InvalidSpec("metric.unit", f"{spec.name}: the name must end in _{spec.unit[:50]} (before any _total)")
    if len(spec.help) > _HELP_MAX:
        raise InvalidSpec("metric.help", f"{spec.name}: longer than {_HELP_MAX} characters")
    if spec.ttl is not None and not spec.ttl > 0:
        raise InvalidSpec("metric.ttl", f"{spec.name}: not above 0 seconds")


def _check_buckets(spec: MetricSpec) -> None:
    if spec.kind is not MetricKind.HISTOGRAM:
        if spec.buckets:
            raise InvalidSpec("metric.buckets", f"{spec.name}: only histograms have buckets")
        return
    ascending = all(low < high for low, high in zip(spec.buckets, spec.buckets[1:], strict=False))
    if not spec.buckets or len(spec.buckets) > _BUCKETS_MAX:
        raise InvalidSpec("metric.buckets", f"{spec.name}: give 1 to {_BUCKETS_MAX} upper bounds")
    if not ascending or not all(map(math.isfinite, spec.buckets)):
        raise InvalidSpec("metric.buckets", f"{spec.name}: bounds must be finite and ascending (+Inf is added)")
