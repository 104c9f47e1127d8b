"""How long to wait before the API server is asked again: nobody comes back at the moment when everybody does."""

from __future__ import annotations

import random

__all__ = ["Pause"]


class Pause:
    """Double from `first` to `longest` seconds with each failure, each cut by up to a half."""

    def __init__(self, *, first: float, longest: float) -> None:
        self._first, self._longest = first, longest
        self.failures = 0

    def next(self) -> float:
        """Answer how long to wait after one more failure."""
        full = min(self._longest, self._first * 2.0 ** min(self.failures, 30))
        self.failures += 1
        return full * random.uniform(0.5, 1.0)  # noqa: S311 - spread, not secrecy

    def reset(self) -> None:
        """Begin again: it worked."""
        self.failures = 0
