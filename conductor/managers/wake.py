"""An event for one waiter at a time: asyncio's own keeps a queue of 760 bytes, and every program has several."""

from __future__ import annotations

import asyncio

__all__ = ["Wake"]


class Wake:
    """Set from the loop's thread; one task waits."""

    __slots__ = ("_is_set", "_waiter")

    def __init__(self) -> None:
        self._is_set = False
        self._waiter: asyncio.Future[None] | None = None

    def set(self) -> None:
        """Let the waiter go on, now or when it comes."""
        self._is_set = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def clear(self) -> None:
        """Let the next one wait."""
        self._is_set = False

    async def wait(self) -> None:
        """Wait until it is set. Raises `RuntimeError` where another task waits already."""
        if self._is_set:
            return
        if self._waiter is not None:
            raise RuntimeError("only one task may wait")
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None
