"""Trying again: what is worth it, how long is waited, and when to stop."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TypeVar

from conductor.errors import RegistryAway
from conductor.oci.limits import RegistryLimits

__all__ = ["Unsteady", "pause", "persistently", "retry_after", "within"]

T = TypeVar("T")
_CHANCE = random.SystemRandom()


class Unsteady(RegistryAway):
    """Trouble that may be over in a moment: a cut, a silence, 429, 5xx. Raised and caught in `oci`, last one leaves."""

    def __init__(self, sentence: str, *, after: float | None = None) -> None:
        super().__init__(sentence)
        self.after = after
        """Seconds that the registry asked us to wait."""


async def persistently(work: Callable[[], Awaitable[T]], *, limits: RegistryLimits, attempts: int) -> T:
    """Do work until it succeeds, fails for good, or was `Unsteady` so many times."""
    for attempt in range(1, attempts):
        try:
            return await work()
        except Unsteady as exc:
            await pause(attempt, exc, limits)
    return await work()


async def pause(attempt: int, trouble: Unsteady, limits: RegistryLimits) -> None:
    """Wait before the next try: as long as was asked for, else by chance, so that a fleet does not come back at once.

    Raises the trouble itself where more is asked for than we wait.
    """
    if trouble.after is None:
        most = min(limits.backoff_most, limits.backoff * 2 ** min(attempt - 1, 30))
        await asyncio.sleep(_CHANCE.uniform(most / 4, most))
        return
    if trouble.after > limits.retry_after:
        raise trouble
    await asyncio.sleep(trouble.after + _CHANCE.uniform(0, limits.backoff))


def retry_after(header: str | None) -> float | None:
    """Read `Retry-After`: seconds, or a date."""
    if not header:
        return None
    if header.strip().isdecimal():
        return float(header.strip()[:9])
    try:
        date = parsedate_to_datetime(header)
    except ValueError:
        return None
    return max(0.0, ((date if date.tzinfo else date.replace(tzinfo=UTC)) - datetime.now(UTC)).total_seconds())


@asynccontextmanager
async def within(seconds: float, what: str) -> AsyncIterator[None]:
    """Give work a deadline. Raises `RegistryAway` when it is over."""
    timeout = asyncio.timeout(seconds)
    try:
        async with timeout:
            yield
    except TimeoutError:
        if not timeout.expired():
            raise
        raise RegistryAway(f"{what}: not done within {seconds:.0f} s; the registry or the way to it is slow") from None
