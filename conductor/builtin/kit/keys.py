"""Slots for fixed-width keys, found for whole arrays at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["KeyTable", "Keys", "Slots"]

Keys = NDArray[np.bytes_]
"""Keys of one width. NumPy drops trailing zeros when it hands out single elements: take bytes by `raw`."""
Slots = NDArray[np.int64]


class KeyTable:
    """Give every key a slot: 0, 1, 2 … in the order of first sight."""

    def __init__(self, *, width: int) -> None:
        self._type = np.dtype(f"S{width}")
        self._sorted: Keys = np.empty(0, self._type)
        self._slots: Slots = np.empty(0, np.int64)
        self._asked: Keys = self._sorted
        self._answered: Slots = self._slots

    def __len__(self) -> int:
        return len(self._slots)

    def slots(self, keys: memoryview | bytes) -> Slots:
        """Slots of keys that lie side by side; unknown ones get new slots. The same keys again cost a comparison."""
        asked = np.frombuffer(bytes(keys), self._type)
        if len(asked) == len(self._asked) and (asked == self._asked).all():
            return self._answered
        self._add(asked)
        self._asked, self._answered = asked, self._slots[np.searchsorted(self._sorted, asked)]
        return self._answered

    def raw(self) -> bytes:
        """Every key, side by side in the order of slots."""
        keys = np.empty(len(self), self._type)
        keys[self._slots] = self._sorted
        return keys.tobytes()

    def keep(self, kept: NDArray[np.bool_]) -> None:
        """Drop the slots where `kept` is false; the others are numbered anew in their order."""
        numbers = np.cumsum(kept) - 1
        stay = kept[self._slots]
        self._sorted, self._slots = self._sorted[stay], numbers[self._slots[stay]]
        self._asked, self._answered = self._sorted[:0], self._slots[:0]

    def _add(self, keys: Keys) -> None:
        if len(self):
            place = np.minimum(np.searchsorted(self._sorted, keys), len(self) - 1)
            keys = keys[self._sorted[place] != keys]
        fresh, first = np.unique(keys, return_index=True)
        numbers = len(self) + np.argsort(np.argsort(first))
        place = np.searchsorted(self._sorted, fresh)
        self._sorted = np.insert(self._sorted, place, fresh)
        self._slots = np.insert(self._slots, place, numbers)
