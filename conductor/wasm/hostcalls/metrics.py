"""Metrics: declared once, label rows interned once, values written as packed arrays."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from conductor.errors import InvalidSpec
from conductor.model.metrics import MetricKind, MetricSpec
from conductor.ports import SeriesSink
from conductor.wasm.abi import Error, Operation
from conductor.wasm.memory import GuestMemory, Refused, checked_rows
from conductor.wasm.needs import metric_of

__all__ = ["MetricCalls"]

DECLARATION_BYTES: Final = 64 << 10
SHORT_BYTES: Final = 2 << 10
METRICS: Final = 1000
_SPARE: Final = 65_536
Ids = NDArray[np.int64]


class MetricCalls:
    """The metrics of one instance; its numbers are positions in its own lists."""

    __slots__ = ("_free", "_ids", "_known", "_memory", "_metrics", "_most", "_numbers", "_sink", "_used")

    def __init__(self, *, sink: SeriesSink, memory: Callable[[], GuestMemory], series: int) -> None:
        self._sink, self._memory = sink, memory
        self._metrics: list[tuple[int, MetricSpec]] = []
        self._known: dict[MetricSpec, int] = {}
        self._numbers: dict[tuple[int, ...], int] = {}
        """(metric, id in the store) -> the number that the guest knows."""
        self._ids: Ids = np.empty(0, np.int64)
        self._used = 0
        self._free: list[int] = []
        self._most = 8 * series + _SPARE

    def metric_declare(self, text: int, size: int) -> int:
        """Declare a metric."""
        if size > DECLARATION_BYTES:
            raise Refused(Error.ARGUMENT)
        declaration = self._memory().text(text, size)
        spec = _shared(declaration) if size <= SHORT_BYTES else _parsed(declaration)
        if (known := self._known.get(spec)) is not None:
            return known
        if len(self._metrics) >= METRICS:
            raise Refused(Error.BUDGET)
        self._metrics.append((self._sink.declare(spec), spec))
        self._known[spec] = len(self._metrics) - 1
        return self._known[spec]

    def metric_series(self, metric: int, rows: int, rows_size: int, count: int, ids: int) -> int:
        """Intern rows of label values."""
        handle, spec = self._metric(metric)
        memory, count = self._memory(), checked_rows(count)
        memory.at(ids, 4 * count, 4)
        values = _strings(memory.read(rows, rows_size), count * len(spec.labels))
        width = len(spec.labels)
        parsed = [values[i * width : (i + 1) * width] for i in range(count)]
        if self._used + count > self._most and self._used - len(self._free) + count > self._most:
            raise Refused(Error.BUDGET)
        interned = self._sink.intern(handle, parsed)
        numbers = np.fromiter((self._number(metric, int(id_)) for id_ in interned), np.int32, count)
        memory.write(ids, numbers.tobytes())
        return int((numbers >= 0).sum())

    def metric_write(self, operation: int, ids: int, values: int, count: int) -> int:
        """Write values."""
        memory, count = self._memory(), checked_rows(count)
        memory.at(values, 8 * count, 8)
        write = {Operation.SET: self._sink.set, Operation.ADD: self._sink.add, Operation.OBSERVE: self._sink.observe}
        if operation not in write:
            raise Refused(Error.ARGUMENT)
        slots = self._slots(ids, count)
        write[Operation(operation)](slots, memory.array(values, count, np.float64))
        return count

    def metric_bins(self, operation: int, metric: int, ids: int, bins: int, sums: int, count: int) -> int:  # noqa: PLR0917 - the ABI
        """Write histograms that are binned already."""
        _, spec = self._metric(metric)
        memory, count = self._memory(), checked_rows(count)
        if spec.kind is not MetricKind.HISTOGRAM or operation not in (Operation.SET, Operation.ADD):
            raise Refused(Error.ARGUMENT)
        width = len(spec.buckets) + 1
        memory.at(bins, 8 * count * width, 8)
        memory.at(sums, 8 * count, 8)
        slots = self._slots(ids, count)
        write = self._sink.set_bins if operation == Operation.SET else self._sink.merge
        write(
            slots,
            memory.array(bins, count * width, np.float64).reshape(count, width),
            memory.array(sums, count, np.float64),
        )
        return count

    def metric_remove(self, ids: int, count: int) -> int:
        """Take series off the page."""
        count = checked_rows(count)
        numbers = self._memory().array(ids, count, np.int32)
        slots = self._slots(ids, count)
        self._sink.remove(slots[slots >= 0])
        gone = {int(number) for number in numbers if number >= 0 and self._ids[number] != -1}
        self._numbers = {key: number for key, number in self._numbers.items() if number not in gone}
        for number in gone:
            self._ids[number] = -1
            self._free.append(number)
        return count

    def _metric(self, number: int) -> tuple[int, MetricSpec]:
        if number >= len(self._metrics):
            raise Refused(Error.HANDLE)
        return self._metrics[number]

    def _number(self, metric: int, id_: int) -> int:
        if id_ < 0:
            return -1
        number = self._numbers.get((metric, id_))
        if number is not None:
            return number
        if self._free:
            number = self._free.pop()
        else:
            number, self._used = self._used, self._used + 1
            if number >= len(self._ids):
                self._ids = np.concatenate([self._ids, np.full(max(4, len(self._ids)), -1, np.int64)])
        self._ids[number] = id_
        self._numbers[metric, id_] = number
        return number

    def _slots(self, ids: int, count: int) -> Ids:
        """Ids in the store for a guest's numbers. Raises `Refused` (HANDLE) for numbers never given out."""
        self._memory().at(ids, 4 * count, 4)
        numbers = self._memory().array(ids, count, np.int32)
        if count and (int(numbers.min()) < -1 or int(numbers.max()) >= self._used):
            raise Refused(Error.HANDLE)
        slots = np.full(count, -1, np.int64)
        known = numbers >= 0
        slots[known] = self._ids[numbers[known]]
        return slots


def _parsed(declaration: str) -> MetricSpec:
    try:
        raw = json.loads(declaration)
    except (ValueError, RecursionError) as exc:
        raise InvalidSpec("metric", f"is no JSON: {exc}") from exc
    return metric_of(raw, "metric")


_shared = lru_cache(maxsize=1024)(_parsed)
"""The same object for all instances of a module."""


def _strings(raw: bytes, count: int) -> list[str]:
    """Cut packed strings. Raises `Refused` (ARGUMENT) where sizes or UTF-8 are wrong."""
    found, at = [], 0
    try:
        for _ in range(count):
            size = int.from_bytes(raw[at : at + 4], "little")
            if at + 4 + size > len(raw):
                raise Refused(Error.ARGUMENT)
            found.append(raw[at + 4 : at + 4 + size].decode())
            at += 4 + size
    except UnicodeDecodeError as exc:
        raise Refused(Error.ARGUMENT) from exc
    return found
