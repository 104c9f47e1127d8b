"""How long to wait before trying again."""

from __future__ import annotations

__all__ = ["delay"]

FIRST = 0.5
LONGEST = 60.0


def delay(failures: int, jitter: float, *, first: float = FIRST, longest: float = LONGEST) -> float:
    """Answer seconds to wait after so many failures in a row: doubling, bounded, cut by up to a half.

    `jitter` is a number from 0 to 1 that differs between those who wait, so that they do not come back at once.
    """
    full = min(longest, first * 2.0 ** min(max(0, failures - 1), 40))
    return full * (1.0 - 0.5 * jitter)
