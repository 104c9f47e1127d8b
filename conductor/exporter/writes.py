"""What programs hand in, checked before it reaches a table: arrays that fit, numbers that may be shown, rows of text."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from conductor.errors import InvalidSpec
from conductor.exporter.table import Row, Slots, Table
from conductor.exporter.text import printable
from conductor.model.metrics import MetricKind, MetricSpec

__all__ = ["add_values", "bins", "fit_row", "fitting", "numbers", "set_values"]

Numbers = NDArray[np.float64]

_VALUE_MAX: Final = 1_024
"""Characters of one label value; a longer one is refused like a series past the budget."""


def numbers(ids: Slots, values: Numbers) -> Numbers:
    """One number per id. Raises `InvalidSpec`."""
    array = np.ascontiguousarray(values, np.float64)
    if array.shape != (len(ids),):
        raise InvalidSpec("values", f"{array.shape} values for {len(ids)} ids: give one each")
    return array


def bins(ids: Slots, buckets: Numbers, sums: Numbers) -> Numbers:
    """One row of counts and a sum per id. Raises `InvalidSpec`."""
    counts, totals = np.asarray(buckets, np.float64), np.asarray(sums, np.float64)
    if counts.ndim != 2 or len(counts) != len(ids) or totals.shape != (len(ids),):
        raise InvalidSpec("buckets", f"{counts.shape} counts and {totals.shape} sums for {len(ids)} ids")
    if not ((counts >= 0) & np.isfinite(counts)).all() or not np.isfinite(totals).all():
        raise InvalidSpec("buckets", "a count below 0, or a count or sum that is no finite number")
    return np.concatenate([counts, totals[:, None]], axis=1)


def fitting(table: Table, values: Numbers) -> Numbers:
    """Rows as wide as the table's buckets demand. Raises `InvalidSpec`."""
    wanted = len(table.spec.buckets) + 2
    if values.ndim == 2 and values.shape[1] != wanted:
        raise InvalidSpec("buckets", f"{table.spec.name} takes {wanted - 1} counts per id (the last is +Inf)")
    return values


def set_values(table: Table, slots: Slots, values: Numbers) -> None:
    """Replace values. Raises `InvalidSpec` for what no counter can be."""
    _check_counter(table, values)
    table.set(slots, values)


def add_values(table: Table, slots: Slots, values: Numbers) -> None:
    """Add to values. Raises `InvalidSpec` for what no counter takes."""
    _check_counter(table, values)
    table.add(slots, values)


def _check_counter(table: Table, values: Numbers) -> None:
    # A counter below 0 or NaN is invalid OpenMetrics: strict readers would refuse the whole page for it.
    if table.spec.kind is MetricKind.COUNTER and not (values >= 0).all():
        raise InvalidSpec("values", f"{table.spec.name} is a counter: it takes nothing below 0 and no NaN")


def fit_row(spec: MetricSpec, key: Row) -> Row | None:
    """A row fit for the page; None when a value is too long."""
    if len(key) != len(spec.labels):
        raise InvalidSpec("rows", f"{spec.name} has {len(spec.labels)} labels, a row has {len(key)} values")
    if not all(isinstance(value, str) for value in key):
        raise InvalidSpec("rows", f"{spec.name}: a label value is no string")
    if any(len(value) > _VALUE_MAX for value in key):
        return None
    row = tuple(map(printable, key))
    return key if row == key else row
