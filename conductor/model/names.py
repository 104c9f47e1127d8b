"""Names near a name: what a "not found" should offer."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

__all__ = ["near"]

_LOOKED_AT = 20_000


def near(name: str, names: Iterable[str], *, most: int = 3) -> str:
    """End of a sentence that offers names like `name`, or tells the few there are; empty when nothing helps."""
    known = sorted({*names})[:_LOOKED_AT]
    close = get_close_matches(name, known, n=most, cutoff=0.6)
    if close:
        return f"; did you mean {' or '.join(close)}?"
    return f"; there are {', '.join(known)}" if 0 < len(known) <= 12 else ""
