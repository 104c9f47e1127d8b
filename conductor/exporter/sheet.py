"""Encoded lines of one family of one program: what the page shows, cut into blocks that are encoded when they changed.

A series is a row of one line, or of all lines of a histogram. About `_LINES` lines make a block: with 1,024 a change
costs little and joining 100 blocks costs nothing (timed for 100,000 series of 225 bytes: blocks of 256, 1,024,
4,096, 16,384 lines took 8.4, 7.7, 11 and 32 ms for all).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from conductor.exporter.numbers import Objects, line_ends
from conductor.exporter.text import header
from conductor.model.metrics import MetricSpec

__all__ = ["Delta", "Sheet"]

_LINES: Final = 1_024


@dataclass(frozen=True, slots=True)
class Delta:
    """What changed in a table since the last cut, copied."""

    rows: int
    """Rows that the table has, in use or not."""
    slots: NDArray[np.int64]
    shown: NDArray[np.bool_]
    """For each slot whether it is on the page."""
    numbers: NDArray[np.float64]
    """For each slot the number of each line."""
    fresh: NDArray[np.int64]
    """Slots (among `slots`) that came onto the page."""
    starts: Objects
    """For each fresh slot the bytes before each number."""


class Sheet:
    """Hold one family of one program as text. Used under the page's lock."""

    __slots__ = (
        "_blocks",
        "_ends",
        "_headers",
        "_lines",
        "_numbers",
        "_rows_per_block",
        "_shown",
        "_stale_blocks",
        "_starts",
        "_unspelled",
        "spec",
    )

    def __init__(self, spec: MetricSpec, *, lines: int) -> None:
        self.spec = spec
        self._headers = tuple(header(spec, openmetrics=openmetrics) for openmetrics in (False, True))
        self._lines = lines
        self._rows_per_block = max(1, _LINES // lines)
        self._starts: Objects = np.empty((0, lines), object)
        self._ends: Objects = np.empty((0, lines), object)
        self._numbers = np.empty((0, lines))
        self._shown = np.empty(0, np.bool_)
        self._unspelled = np.empty(0, np.bool_)
        self._stale_blocks: list[int] = []
        self._blocks: list[bytes] = []

    def header(self, *, openmetrics: bool) -> bytes:
        """Lines before the samples; the same object each time."""
        return self._headers[openmetrics]

    def take(self, delta: Delta) -> None:
        """Note what changed; nothing is encoded yet."""
        self._grow(delta.rows)
        self._starts[delta.fresh] = delta.starts
        hidden = delta.slots[~delta.shown]
        self._starts[hidden] = self._ends[hidden] = None
        self._shown[delta.slots] = delta.shown
        self._numbers[delta.slots] = delta.numbers
        self._unspelled[delta.slots] = delta.shown
        # (np.unique would do, but its first call imports numpy.ma: 40 ms and megabytes.)
        blocks = np.bincount(delta.slots // self._rows_per_block)
        stale = np.flatnonzero(blocks).tolist()
        if stale != self._stale_blocks:
            self._stale_blocks = stale if not self._stale_blocks else sorted({*self._stale_blocks, *stale})

    def blocks(self) -> list[bytes]:
        """Encode what changed and answer all blocks; unchanged ones are the very objects of before."""
        if self._stale_blocks:
            slots = np.flatnonzero(self._unspelled)
            self._ends[slots] = line_ends(self._numbers[slots].ravel()).reshape(-1, self._lines)
            self._unspelled[slots] = False
            for block in self._stale_blocks:
                self._blocks[block] = self._encode(block)
            self._stale_blocks = []
        return self._blocks

    def lines_with(self, needles: tuple[bytes, ...]) -> bytes:
        """Answer only lines whose beginning holds one of `needles` (for a small sheet: it looks at each line)."""
        self.blocks()
        starts, ends = self._starts[self._shown].ravel().tolist(), self._ends[self._shown].ravel().tolist()
        return b"".join(a + b for a, b in zip(starts, ends, strict=True) if any(needle in a for needle in needles))

    def _encode(self, block: int) -> bytes:
        # Measured against a list sliced as out[::2] (14 ms for all), `template % tuple` (18 ms) and one join of the
        # whole page (10 ms, and every change would pay all of it): numpy interleaves the pointers quickest (8 ms).
        rows = slice(block * self._rows_per_block, (block + 1) * self._rows_per_block)
        shown = self._shown[rows]
        starts, ends = self._starts[rows], self._ends[rows]
        if not shown.all():
            starts, ends = starts[shown], ends[shown]
        pairs: Objects = np.empty((starts.size, 2), object)
        pairs[:, 0], pairs[:, 1] = starts.ravel(), ends.ravel()
        return b"".join(pairs.ravel().tolist())

    def _grow(self, rows: int) -> None:
        have = len(self._shown)
        if rows > have:
            more = max(rows, min(2 * have, have + 65_536)) - have
            blank = np.full((more, self._lines), None, object)
            self._starts, self._ends = np.concatenate([self._starts, blank]), np.concatenate([self._ends, blank])
            self._numbers = np.concatenate([self._numbers, np.zeros((more, self._lines))])
            self._shown = np.concatenate([self._shown, np.zeros(more, np.bool_)])
            self._unspelled = np.concatenate([self._unspelled, np.zeros(more, np.bool_)])
            blocks = -(-len(self._shown) // self._rows_per_block)
            self._blocks.extend([b""] * (blocks - len(self._blocks)))
