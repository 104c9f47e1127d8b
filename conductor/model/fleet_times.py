"""Moments and durations as objects of a cluster hold them."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from functools import lru_cache

__all__ = ["duration_of", "moment_of", "stamp_of"]

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h)")


def stamp_of(moment: float) -> str:
    """Print Unix seconds as RFC 3339, whole seconds of UTC."""
    return datetime.fromtimestamp(math.floor(moment), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def moment_of(text: object) -> float:
    """Answer Unix seconds; 0 for what is absent or no time."""
    return _moment(text) if isinstance(text, str) else 0.0


@lru_cache(maxsize=4096)  # many programs and nodes change in the same second, and share its number then
def _moment(text: str) -> float:
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError):
        return 0.0


def duration_of(text: object, default: float) -> float:
    """Answer the seconds of `30s`, `1.5m`, `250ms`; the default for what is absent or no duration."""
    found = _DURATION.fullmatch(text) if isinstance(text, str) else None
    return float(found[1]) * _UNITS[found[2]] if found else default
