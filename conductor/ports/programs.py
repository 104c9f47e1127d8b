"""What programs are given, and what they are asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from conductor.model.facts import Container, Workload
from conductor.model.ids import Name
from conductor.model.metrics import MetricSpec
from conductor.ports.maps import MapHandle

__all__ = ["Ids", "LogSink", "Lookup", "Program", "ProgramContext", "SeriesSink", "StateCell", "Values"]

Ids = NDArray[np.int64]
Values = NDArray[np.float64]


class SeriesSink(Protocol):
    """One program's series in the store. Writes come from one thread at a time; a snapshot may be taken at any moment.

    Rows of label values become ids once (`intern`), then whole arrays are written. An id of -1 means the row was
    refused by the series budget; writes to -1 are ignored and counted.
    """

    def declare(self, metric: MetricSpec) -> int:
        """Declare a family, answer its handle; the same spec again gives the same handle. Raises `MetricClash`."""
        ...

    def intern(self, metric: int, rows: Sequence[Sequence[str]]) -> Ids:
        """Ids of label rows, made where new (value 0, not shown before its first write)."""
        ...

    def set(self, ids: Ids, values: Values) -> None: ...
    def add(self, ids: Ids, values: Values) -> None: ...
    def observe(self, ids: Ids, values: Values) -> None:
        """Put each value into its histogram series."""
        ...

    def merge(self, ids: Ids, buckets: NDArray[np.float64], sums: Values) -> None:
        """Add pre-binned counts: one row of `len(spec.buckets) + 1` counts (not cumulative, last is +Inf) per id."""
        ...

    def set_bins(self, ids: Ids, buckets: NDArray[np.float64], sums: Values) -> None:
        """As `merge`, but the row replaces what stood there (kernel histograms are totals already)."""
        ...

    def remove(self, ids: Ids) -> None: ...


class Lookup(Protocol):
    """Shared facts, answered for whole arrays. Addresses are 16 bytes each, IPv4 as v4-mapped."""

    def workloads(self, addresses: Sequence[bytes]) -> list[Workload | None]: ...
    def containers(self, cgroup_ids: Sequence[int]) -> list[Container | None]: ...
    def is_local(self, addresses: Sequence[bytes]) -> list[bool]:
        """Whether an address belongs to an interface of this host."""
        ...

    def is_settled(self) -> bool:
        """Whether who has no name now has none: a cluster's names are there, or were waited for long enough."""
        ...


class LogSink(Protocol):
    """A program's log: rate-limited, shown by `conductor logs`. Level: debug, info, warning, error."""

    def __call__(self, level: str, message: str) -> None: ...


class StateCell(Protocol):
    """A program's small durable state (at most 8 MiB): atomic, survives kill -9; empty after Unload."""

    def load(self) -> bytes | None: ...
    def store(self, state: bytes) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramContext:
    """Everything a program is given; there is nothing else it may reach."""

    name: Name
    config: Mapping[str, Any]
    maps: Mapping[str, MapHandle]
    series: SeriesSink
    lookup: Lookup
    log: LogSink
    state: StateCell


class Program(Protocol):
    """One running built-in. All calls come on its own worker thread, one at a time; blocking is allowed, bounded."""

    @property
    def interval(self) -> float:
        """Seconds between ticks."""
        ...

    def tick(self) -> None:
        """Read what is to be read and write series. Raising marks this tick failed; the program goes on."""
        ...

    def close(self) -> None: ...
