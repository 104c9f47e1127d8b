"""The one thread that changes the kernel."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Self, TypeVar

from conductor.errors import BudgetExceeded, KernelAway

__all__ = ["Worker"]

_T = TypeVar("_T")
_WAITING = 256


class Worker:
    """Do mutations one after the other, off the event loop. A caller that leaves does not stop what has begun."""

    def __init__(self, *, waiting: int = _WAITING) -> None:
        self._most = waiting
        self._waiting = 0
        self._stopping = False
        self._threads = ThreadPoolExecutor(max_workers=1, thread_name_prefix="kernel")

    @classmethod
    @asynccontextmanager
    async def running(cls, *, waiting: int = _WAITING) -> AsyncIterator[Self]:
        """Run until left; what has begun is finished, what waits is not begun."""
        self = cls(waiting=waiting)
        try:
            yield self
        finally:
            self._stopping = True
            await asyncio.to_thread(self._threads.shutdown, cancel_futures=True)

    async def do(self, task: Callable[[], _T]) -> _T:
        """Do `task` when its turn comes. Raises `BudgetExceeded` when too many wait, and what `task` raises."""
        if self._stopping:
            raise KernelAway("the loader is stopping")
        if self._waiting >= self._most:
            raise BudgetExceeded(f"{self._waiting} changes wait already; try again later")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, task)
        finally:
            self._waiting -= 1
