"""The page: what the store looked like at the last tick, as text.

`tick` copies what changed and is cheap enough for the event loop. `render` encodes, belongs in a worker thread, and
encodes only blocks that changed; a page that did not change at all is answered as the bytes that are ready.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from conductor.exporter.deflate import Deflater
from conductor.exporter.names import base_name, sample_names, shape_of
from conductor.exporter.sheet import Sheet
from conductor.exporter.sink import Cut
from conductor.exporter.store import SeriesStore
from conductor.exporter.text import EOF

__all__ = ["Page", "RenderStats"]

_READY_PAGES: Final = 4
"""Whole pages kept: two formats with and without gzip."""

_Variant = tuple[bool, bool, frozenset[str], frozenset[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderStats:
    """What rendering cost so far."""

    renders: int = 0
    ready: int = 0
    """Renders (among them) that were answered from bytes that were ready."""
    last_seconds: float = 0.0
    last_bytes: int = 0
    total_seconds: float = 0.0


class Page:
    """Show the store as of the last tick. `tick` from one thread, `render` from any."""

    def __init__(self, *, store: SeriesStore) -> None:
        self._store = store
        self._pending: deque[tuple[Cut, ...]] = deque()
        self._known: frozenset[str] = frozenset()
        self._lock = threading.Lock()
        self._sheets: dict[str, tuple[Sheet, ...]] = {}
        self._families: dict[str, list[tuple[str, Sheet]]] = {}
        self._version = 0
        self._ready: OrderedDict[_Variant, tuple[int, bytes]] = OrderedDict()
        self._deflaters = {False: Deflater(), True: Deflater()}
        self._stats = RenderStats()

    @property
    def stats(self) -> RenderStats:
        """What rendering cost so far."""
        return self._stats

    def tick(self, now: float) -> None:
        """Let series expire and take the snapshot that renders show until the next tick. `now`: monotonic seconds."""
        sinks = self._store.sinks()
        names = frozenset(sink.program for sink in sinks)
        gone = tuple(Cut(name, (), ()) for name in self._known - names)
        self._known = names
        changes = gone + tuple(cut for cut in (sink.cut(now) for sink in sinks) if cut is not None)
        if changes:
            self._pending.append(changes)
        # A render may hold the lock for long; it settles first thing next time, so nothing waits here.
        if self._pending and self._lock.acquire(blocking=False):
            try:
                self._settle()
            finally:
                self._lock.release()

    def render(
        self, *, openmetrics: bool, gzip: bool, programs: Collection[str] = (), names: Collection[str] = ()
    ) -> bytes:
        """Write the page; `programs` and `names` (of families or samples), when given, choose what is on it."""
        begin = time.perf_counter()
        variant = (openmetrics, gzip, frozenset(programs), frozenset(names))
        with self._lock:
            self._settle()
            version, body = self._ready.get(variant, (-1, b""))
            is_ready = version == self._version
            if not is_ready:
                body = self._encode(variant)
                self._keep(variant, body)
            self._count(time.perf_counter() - begin, len(body), is_ready=is_ready)
        return body

    def _settle(self) -> None:
        """Apply what ticks have left, oldest first."""
        moved = False
        while self._pending:
            for cut in self._pending.popleft():
                for sheet, delta in cut.deltas:
                    sheet.take(delta)
                if cut.sheets is not None:
                    self._sheets[cut.program] = cut.sheets
                    moved = True
            self._version += 1
        if moved:
            self._arrange()

    def _arrange(self) -> None:
        """Gather families of one name: a page has each once, with every program's series."""
        self._sheets = {program: sheets for program, sheets in self._sheets.items() if sheets}
        families: dict[str, list[tuple[str, Sheet]]] = {}
        for program, sheets in self._sheets.items():
            for sheet in sheets:
                families.setdefault(sheet.spec.name, []).append((program, sheet))
        self._families = {name: _agreeing(families[name]) for name in sorted(families)}

    def _encode(self, variant: _Variant) -> bytes:
        openmetrics, gzip, programs, names = variant
        blocks = self._blocks(openmetrics, programs, names)
        if not gzip:
            return b"".join(blocks)
        # A filtered page would push the whole one's segments out: it is compressed by itself.
        deflater = Deflater() if programs or names else self._deflaters[openmetrics]
        return deflater.compress(blocks)

    def _blocks(self, openmetrics: bool, programs: frozenset[str], names: frozenset[str]) -> list[bytes]:
        blocks: list[bytes] = []
        needles = tuple(f'program="{program}"'.encode() for program in programs)
        for members in self._families.values():
            first = members[0][1]
            spec = first.spec
            if names and not names & (sample_names(spec) | {spec.name, base_name(spec)}):
                continue
            lines: list[bytes] = []
            for program, sheet in members:
                if not programs or program in programs:
                    lines += filter(None, sheet.blocks())
                elif not program:
                    # The agent's own families speak of programs by an ordinary label.
                    lines += filter(None, [sheet.lines_with(needles)])
            if lines:
                blocks += [first.header(openmetrics=openmetrics), *lines]
        return [*blocks, EOF] if openmetrics else blocks

    def _keep(self, variant: _Variant, body: bytes) -> None:
        self._ready = OrderedDict(entry for entry in self._ready.items() if entry[1][0] == self._version)
        self._ready[variant] = (self._version, body)
        while len(self._ready) > _READY_PAGES:
            self._ready.popitem(last=False)

    def _count(self, seconds: float, size: int, *, is_ready: bool) -> None:
        old = self._stats
        self._stats = RenderStats(
            renders=old.renders + 1,
            ready=old.ready + is_ready,
            last_seconds=seconds,
            last_bytes=size,
            total_seconds=old.total_seconds + seconds,
        )


def _agreeing(members: list[tuple[str, Sheet]]) -> list[tuple[str, Sheet]]:
    """Those that fit the first one's header (while one program is updated, its old declaration may differ)."""
    shape = shape_of(members[0][1].spec)
    return [(program, sheet) for program, sheet in members if shape_of(sheet.spec) == shape]
