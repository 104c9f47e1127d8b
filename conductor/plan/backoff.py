"""How long to wait before trying again."""

from __future__ import annotations

from conductor.errors import ConductorError, ImageNotFound, ImageUntrusted, ImageUnusable, RegistryRefused

__all__ = ["HOPELESS_SECONDS", "delay", "is_mended_elsewhere", "pause_after"]

FIRST = 0.5
LONGEST = 60.0
ELSEWHERE_FIRST = 10.0
HOPELESS_SECONDS = 300.0
"""Between tries of what time alone cannot heal."""


def is_mended_elsewhere(error: BaseException) -> bool:
    """Whether it can be mended at a registry, by a push, a signature or a right, and nobody tells this node."""
    return isinstance(error, ImageUntrusted | ImageNotFound | ImageUnusable | RegistryRefused)


def pause_after(error: Exception, failures: int, jitter: float) -> float:
    """Answer seconds until the next try after so many failures in a row, of which this is the last."""
    if is_mended_elsewhere(error):
        return delay(failures, jitter, first=ELSEWHERE_FIRST, longest=HOPELESS_SECONDS)
    if isinstance(error, ConductorError) and not error.retry:
        return HOPELESS_SECONDS
    return delay(failures, jitter)


def delay(failures: int, jitter: float, *, first: float = FIRST, longest: float = LONGEST) -> float:
    """Answer seconds to wait after so many failures in a row: doubling, bounded, cut by up to a half.

    `jitter` is a number from 0 to 1 that differs between those who wait, so that they do not come back at once.
    """
    full = min(longest, first * 2.0 ** min(max(0, failures - 1), 40))
    return full * (1.0 - 0.5 * jitter)
