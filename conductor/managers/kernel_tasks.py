"""Tasks beside a body: they live as long as it does, and what it raises leaves as it is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from typing import Any

from conductor.model.events import Event, KernelChanged
from conductor.model.ids import Name

__all__ = ["Announcer", "beside"]


class Announcer:
    """Tell which kernel programs changed; each name once, however often and however slow the listeners are.

    It is a task of its own: a listener may wait for the very work that makes the changes.
    """

    def __init__(self, *, publish: Callable[[Event], Awaitable[None]]) -> None:
        self._publish = publish
        self._names: dict[Name, None] = {}
        self._some = asyncio.Event()

    def mark(self, name: Name) -> None:
        """Note a change, to be told soon."""
        self._names[name] = None
        self._some.set()

    async def run(self) -> None:
        """Tell changes; runs for ever."""
        while True:
            await self._some.wait()
            while self._names:
                name = next(iter(self._names))
                del self._names[name]
                await self._publish(KernelChanged(name=name))
            self._some.clear()


@asynccontextmanager
async def beside(
    work: Mapping[str, Coroutine[Any, Any, None]], *, before_end: Callable[[], Awaitable[None]] | None = None
) -> AsyncIterator[None]:
    """Run tasks by name while the body runs; `before_end` is awaited before they are cancelled.

    A TaskGroup alone would wrap the body's own error in a group.
    """
    failure: Exception | None = None
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(coroutine, name=name) for name, coroutine in work.items()]
        try:
            yield
        except Exception as error:  # noqa: BLE001 -- raised again below
            failure = error
        finally:
            if before_end is not None:
                await before_end()
            for task in tasks:
                task.cancel()
    if failure is not None:
        raise failure
