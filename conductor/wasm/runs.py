"""Committed records at the head of a ring, when they are all of one size: seen without copying or walking.

Most kernel halves write records of one size. Their headers then lie at equal distances and are alike to the bit, so one
comparison of many words tells how far records are committed; `walker.py` is for all others.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["LEAST_BYTES", "Run", "run_of", "words_at"]

LEAST_BYTES: Final = 16 << 10
"""Below this the walker is as quick."""
_UNUSUAL, _LENGTH = 3 << 30, (1 << 30) - 1
"""BUSY and DISCARD."""


@dataclass(frozen=True, slots=True)
class Run:
    """So many records, so many bytes from each to the next."""

    stride: int
    count: int

    @property
    def size(self) -> int:
        """Bytes of all."""
        return self.stride * self.count

    def pieces(self, most: int) -> list[tuple[int, int, int]]:
        """Cut at records: start, end and count, each of at most `most` bytes; count -1: one that is larger than that."""
        step = most // self.stride * self.stride
        if not step:
            return [(at, at + self.stride, -1) for at in range(0, self.size, self.stride)]
        ends = [*range(step, self.size, step), self.size]
        return [(low, high, (high - low) // self.stride) for low, high in zip([0, *ends], ends, strict=False)]


def run_of(words: NDArray[np.uint32], start: int, end: int) -> Run | None:
    """Look at a ring's memory from byte to byte; None where records are few, or not of one size."""
    header = int(words[start // 4])
    stride = (header & _LENGTH) + 15 & ~7
    if end - start < LEAST_BYTES or header & _UNUSUAL or stride > end - start:
        return None
    whole = (end - start) // stride
    strangers = words[start // 4 : (start + whole * stride) // 4 : stride // 4] != header
    first = int(strangers.argmax())
    run = Run(stride, first if strangers[first] else whole)
    return run if run.size > (end - start) // 2 else None


def words_at(address: int, size: int) -> NDArray[np.uint32]:
    """See memory as words, without owning it."""
    memory: Any = (ctypes.c_uint32 * (size // 4)).from_address(address)
    return np.frombuffer(memory, np.uint32)
