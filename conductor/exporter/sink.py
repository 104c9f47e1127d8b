"""One program's series: what a program is given as `ports.SeriesSink`.

An id is the family's handle (15 bits), the slot's epoch (16 bits) and the slot (32 bits): an id kept after its series
was forgotten meets another epoch, and what is written to it is counted as lost instead of landing in a stranger.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from conductor.errors import BudgetExceeded, InvalidSpec, NotFound
from conductor.exporter.catalog import Catalog
from conductor.exporter.names import check, shape_of
from conductor.exporter.sheet import Delta, Sheet
from conductor.exporter.table import Row, Slots, Table
from conductor.exporter.text import printable
from conductor.exporter.writes import add_values, bins, fit_row, fitting, numbers, set_values
from conductor.model.metrics import MetricKind, MetricSpec

__all__ = ["Cut", "ProgramSeries", "SeriesUsage"]

Numbers = NDArray[np.float64]

_FAMILIES_MAX: Final = 1_000
_HANDLE_MAX: Final = 0x7FFF
_BATCH: Final = 1_024
_ALIVE: Final = 10.0
"""Seconds without a write after which a newer declaration of a metric yields to an older one that is written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesUsage:
    """What a program's series cost. A histogram counts as many series as it has lines."""

    series: int = 0
    refused: int = 0
    """Rows that `intern` refused: the budget was used up or a label value was too long."""
    lost: int = 0
    """Writes that met a refused or forgotten id."""


@dataclass(frozen=True, slots=True)
class Cut:
    """State of a program's series at one moment: its families, and what changed in them."""

    program: str
    sheets: tuple[Sheet, ...] | None
    """All families on the page; None: the same as at the last cut."""
    deltas: tuple[tuple[Sheet, Delta], ...]


class ProgramSeries:
    """Take the writes of one program (implements `ports.SeriesSink`)."""

    def __init__(self, *, program: str, budget: int, catalog: Catalog) -> None:
        self.program = program
        self.budget = budget
        self._catalog = catalog
        self._lock = threading.Lock()
        self._tables: dict[int, Table] = {}
        self._next_handle = 0
        self._handles: dict[str, list[int]] = {}
        """Family -> handles: more than one while an update with another declaration is under way."""
        self._on_page: dict[str, int] = {}
        self._contested: set[str] = set()
        self._written: dict[int, float] = {}
        """When handles of contested families were last written."""
        self._moved = True
        self._closed = False
        self._used = 0
        self._refused = 0
        self._lost = 0

    # --- ports.SeriesSink ---

    def declare(self, metric: MetricSpec) -> int:
        """Declare a family, answer its handle. Raises `MetricClash`, `InvalidSpec`, `BudgetExceeded`."""
        check(metric, by_agent=not self.program)
        with self._lock:
            if self._closed:
                raise NotFound(f"program {self.program} was unloaded: its series are gone")
            handles = self._handles.get(metric.name, [])
            known = [handle for handle in handles if _is_same(self._tables[handle].spec, metric)]
            if not known and (len(self._tables) >= _FAMILIES_MAX or self._next_handle > _HANDLE_MAX):
                raise BudgetExceeded(f"program {self.program} declares more than {_FAMILIES_MAX} metrics: use labels")
            self._catalog.enter(self.program, metric)
            if not known:
                return self._new_table(metric)
            self._tables[known[0]].ttl = metric.ttl
            # Newest last: on the page it goes before others of that name as soon as it is written.
            handles.remove(known[0])
            handles.append(known[0])
            return known[0]

    def intern(self, metric: int, rows: Sequence[Sequence[str]]) -> Slots:
        """Answer ids of label rows, made where new; -1 where the budget refuses."""
        keys = list(map(tuple, rows))
        ids = np.full(len(keys), -1, np.int64)
        for low in range(0, len(keys), _BATCH):  # in batches, so that a snapshot never waits long
            with self._lock:
                ids[low : low + _BATCH] = self._intern(metric, keys[low : low + _BATCH])
        return ids

    def set(self, ids: Slots, values: Numbers) -> None:
        """Replace the values of counters or gauges."""
        self._write(ids, numbers(ids, values), set_values, histogram=False)

    def add(self, ids: Slots, values: Numbers) -> None:
        """Add to counters or gauges; a counter takes nothing below 0."""
        self._write(ids, numbers(ids, values), add_values, histogram=False)

    def observe(self, ids: Slots, values: Numbers) -> None:
        """Put each value into its histogram."""
        observed = numbers(ids, values)
        if not np.isfinite(observed).all():
            raise InvalidSpec("values", "NaN or an infinity cannot be observed: it would spoil the sum for good")
        self._write(ids, observed, Table.observe, histogram=True)

    def merge(self, ids: Slots, buckets: Numbers, sums: Numbers) -> None:
        """Add counts that are binned already."""
        self._write(ids, bins(ids, buckets, sums), Table.merge, histogram=True)

    def set_bins(self, ids: Slots, buckets: Numbers, sums: Numbers) -> None:
        """Replace counts that are binned already."""
        self._write(ids, bins(ids, buckets, sums), Table.set_bins, histogram=True)

    def remove(self, ids: Slots) -> None:
        """Take series off the page; within their ttl they resume when they come back."""
        with self._lock:
            for table, slots, _ in self._parts(np.asarray(ids, np.int64)):
                self._used -= table.remove(slots) * table.lines

    # --- for the store and the page ---

    @property
    def lost(self) -> int:
        """Writes that met a refused or forgotten id."""
        return self._lost

    def usage(self) -> SeriesUsage:
        """Count series and refusals."""
        with self._lock:
            shown = sum(self._tables[handle].shown for handle in self._on_page.values())
            return SeriesUsage(series=shown, refused=self._refused, lost=self._lost)

    def close(self) -> None:
        """Refuse further declarations; late writes of an ending program go nowhere."""
        with self._lock:
            self._closed = True

    def cut(self, now: float) -> Cut | None:
        """Expire series, then copy what changed since the last cut; None when nothing did."""
        with self._lock:
            for table in self._tables.values():
                self._used -= table.expire(now) * table.lines
            self._choose(now)
            moved, self._moved = self._moved, False
            tables = [self._tables[handle] for handle in self._on_page.values()]
            cuts = [(table.sheet, table.cut()) for table in tables if table.wrote or moved]
            deltas = tuple((sheet, delta) for sheet, delta in cuts if delta is not None)
            if not moved and not deltas:
                return None
            return Cut(self.program, tuple(table.sheet for table in tables) if moved else None, deltas)

    def _choose(self, now: float) -> None:
        """Of several declarations of one name show the newest that is alive: an update may return to the old one."""
        for family in self._contested:
            handles = self._handles[family]
            for handle in handles:
                if self._tables[handle].wrote:
                    self._written[handle] = now
            alive = [handle for handle in handles if self._written.get(handle, -np.inf) > now - _ALIVE]
            if alive and self._on_page[family] != alive[-1]:
                self._on_page[family] = alive[-1]
                self._moved = True
            for handle in handles:
                if handle != self._on_page[family]:
                    self._tables[handle].wrote = False

    # --- inside the lock ---

    def _new_table(self, metric: MetricSpec) -> int:
        handles = self._handles.setdefault(metric.name, [])
        for old in handles[:-1]:
            # Two declarations of a name live side by side (old and new version of a program), not more.
            self._clear(old)
            handles.remove(old)
            del self._tables[old]
            self._written.pop(old, None)
        handle, self._next_handle = self._next_handle, self._next_handle + 1
        if (text := printable(metric.help)) != metric.help:
            metric = replace(metric, help=text)
        self._tables[handle] = Table(metric, program=self.program)
        handles.append(handle)
        if len(handles) > 1:
            self._contested.add(metric.name)
        if self._on_page.get(metric.name) not in handles:
            self._on_page[metric.name] = handles[0]
            self._moved = True
        return handle

    def _clear(self, handle: int) -> None:
        self._used -= self._tables[handle].clear() * self._tables[handle].lines

    def _intern(self, handle: int, keys: list[Row]) -> Slots:
        if handle not in self._tables:
            raise InvalidSpec("metric", f"{handle} is no handle that `declare` answered")
        table = self._tables[handle]
        found = list(map(table.index.get, keys))
        if None in found:
            table.hold(np.array([slot for slot in found if slot is not None], np.int64))
            self._admit(table, keys, found)
        slots = np.array([-1 if slot is None else slot for slot in found], np.int64)
        taken = slots >= 0
        slots[taken] = (np.int64(handle) << 48) | table.hold(slots[taken])
        return slots

    def _admit(self, table: Table, keys: list[Row], found: list[int | None]) -> None:
        """Fill the gaps of `found`, as far as the budget goes."""
        if self._used + found.count(None) * table.lines > self.budget:
            self._make_room(table)
        for place, key in enumerate(keys):
            if found[place] is not None:
                continue
            row = fit_row(table.spec, key)
            slot = None if row is None else table.index.get(row)
            if slot is None and row is not None and self._used + table.lines <= self.budget:
                slot = table.admit(row)
                self._used += table.lines
            found[place] = slot
            self._refused += slot is None

    def _make_room(self, table: Table) -> None:
        """Forget what is off the page: series that left, and declarations that an update has replaced."""
        for other in self._tables.values():
            self._used -= other.reclaim() * other.lines
        for handle in [handle for family in self._contested for handle in self._handles[family]]:
            other = self._tables[handle]
            if other is not table and not other.wrote and handle not in self._on_page.values():
                self._clear(handle)

    def _parts(self, ids: Slots) -> Iterator[tuple[Table, Slots, NDArray[np.bool_]]]:
        """Split ids by family: table, slots, and which of the ids they are. Counts what leads nowhere."""
        handles = ids >> 48
        mixed = len(ids) and bool((handles != handles[0]).any())
        for handle in sorted(set(handles.tolist())) if mixed else handles[:1].tolist():
            mine = handles == handle
            table = self._tables.get(handle)
            if table is None:
                self._lost += int(np.count_nonzero(mine))
                continue
            slots, alive = table.resolve(ids[mine])
            if not alive.all():
                self._lost += int(np.count_nonzero(~alive))
                mine[mine] = alive
                slots = slots[alive]
            yield table, slots, mine

    def _write(
        self, ids: Slots, values: Numbers, write: Callable[[Table, Slots, Numbers], None], *, histogram: bool
    ) -> None:
        with self._lock:
            for table, slots, which in self._parts(np.asarray(ids, np.int64)):
                if (table.spec.kind is MetricKind.HISTOGRAM) is not histogram:
                    wanted = "observe, merge or set_bins" if not histogram else "set or add"
                    raise InvalidSpec("ids", f"{table.spec.name} is a {table.spec.kind}: write it with {wanted}")
                write(table, slots, fitting(table, values[which]))


def _is_same(ours: MetricSpec, theirs: MetricSpec) -> bool:
    """Whether rows of one fit the other: label order matters here, unlike between programs."""
    return ours.labels == theirs.labels and shape_of(ours) == shape_of(theirs)
