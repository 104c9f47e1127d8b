"""Cut copied records again, for a buffer that is smaller than the one they were cut for: rare, so in Python."""

from __future__ import annotations

import ctypes

__all__ = ["cut"]

_DISCARD, _LENGTH = 1 << 30, (1 << 30) - 1


def cut(address: int, size: int, most: int) -> list[tuple[int, int, int]]:
    """Cut whole records at an address into pieces of at most `most` bytes: start, end and how many are not discarded.

    A count of -1 marks a record that is larger than that.
    """
    found: list[tuple[int, int, int]] = []
    low = at = count = 0
    while at < size:
        header = ctypes.c_uint32.from_address(address + at).value
        length = (header & _LENGTH) + 15 & ~7
        kept = 0 if header & _DISCARD else 1
        if at + length - low > most:
            if count:
                found.append((low, at, count))
            low, count = at, 0
        if length > most:
            if kept:
                found.append((at, at + length, -1))
            low = at + length
        else:
            count += kept
        at += length
    if count:
        found.append((low, size, count))
    return found
