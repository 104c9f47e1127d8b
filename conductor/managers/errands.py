"""Work that goes on when its caller leaves, and the locks that serialise it by name."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, TypeVar

from conductor.errors import BudgetExceeded

__all__ = ["Errands", "NameLocks"]

T = TypeVar("T")
MOST = 4096


class Errands:
    """Own tasks that callers wait for: a cancelled caller leaves its errand going."""

    def __init__(self, *, group: asyncio.TaskGroup, most: int = MOST) -> None:
        self._group, self._most = group, most
        self._going: set[asyncio.Task[Any]] = set()

    @property
    def going(self) -> int:
        """Errands that are under way."""
        return len(self._going)

    async def see_through(self, work: Coroutine[Any, Any, T], name: str) -> T:
        """Do `work` to its end; answer or raise as it does. Raises `BudgetExceeded` when too much is under way."""
        if len(self._going) >= self._most:
            work.close()
            raise BudgetExceeded(f"{self._most} requests are under way already; try again when some are done")
        task = self._group.create_task(_contained(work), name=name)
        self._going.add(task)
        task.add_done_callback(self._going.discard)
        value, failure = await asyncio.shield(task)
        if failure is not None:
            raise failure
        assert value is not None
        return value[0]

    def cancel(self) -> None:
        """End what is under way."""
        for task in tuple(self._going):
            task.cancel()


async def _contained(work: Coroutine[Any, Any, T]) -> tuple[tuple[T] | None, Exception | None]:
    """Keep a failure from ending the group: it belongs to the caller, who may have left."""
    try:
        return (await work,), None
    except Exception as exc:  # noqa: BLE001 - handed to the caller
        return None, exc


class NameLocks:
    """One lock per name, made when wanted and gone when nobody wants it."""

    def __init__(self) -> None:
        self._locks: dict[str, tuple[asyncio.Lock, int]] = {}

    def __len__(self) -> int:
        return len(self._locks)

    @asynccontextmanager
    async def held(self, *names: str) -> AsyncIterator[None]:
        """Hold the locks of all names; taken in one order, so that two callers cannot block each other."""
        async with AsyncExitStack() as stack:
            for name in sorted(set(names)):
                await stack.enter_async_context(self._one(name))
            yield

    @asynccontextmanager
    async def _one(self, name: str) -> AsyncIterator[None]:
        lock, users = self._locks.get(name, (asyncio.Lock(), 0))
        self._locks[name] = (lock, users + 1)
        try:
            async with lock:
                yield
        finally:
            lock, users = self._locks.pop(name)
            if users > 1:
                self._locks[name] = (lock, users - 1)
