"""A lane: what one instance does, in order, one thing at a time."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import TypeVar

from conductor.errors import ProgramCrashed
from conductor.wasm.pool import Job, Pool

__all__ = ["Lane"]

T = TypeVar("T")


class Lane:
    """Jobs of one instance: in order, one at a time, so that its store is touched by one thread."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._lock = threading.Lock()
        self._jobs: list[Job] = []  # a deque takes 760 bytes, and these are few
        self._scheduled = False

    def post(self, job: Job) -> None:
        """Have a job done after those before it. Whoever posts bounds how many there are."""
        with self._lock:
            self._jobs.append(job)
            if self._scheduled:
                return
            self._scheduled = True
        self._pool.put(self._turn)

    def later(self, seconds: float, job: Job) -> None:
        """Post a job after a while."""
        self._pool.later(seconds, lambda: self.post(job))

    def _turn(self) -> None:
        with self._lock:
            job = self._jobs.pop(0)
        try:
            job()
        finally:
            with self._lock:
                self._scheduled = again = bool(self._jobs)
            if again:
                self._pool.put(self._turn)

    async def ask(self, job: Callable[[], T]) -> T:
        """Do a job after those before it, and wait for its answer. Raises what it raises."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()

        def work() -> None:
            try:
                answer = job()
            except BaseException as exc:  # noqa: BLE001 - handed to who asked
                _tell(loop, future, None, exc)
            else:
                _tell(loop, future, answer, None)

        self.post(work)
        return await future


def _tell(
    loop: asyncio.AbstractEventLoop, future: asyncio.Future[T], answer: T | None, failure: BaseException | None
) -> None:
    def settle() -> None:
        if future.done():
            return
        if failure is None:
            future.set_result(answer)  # type: ignore[arg-type] # None only where T allows it
        elif isinstance(failure, Exception):
            future.set_exception(failure)
        else:
            future.set_exception(ProgramCrashed(f"the host raised {type(failure).__name__}"))

    if not loop.is_closed():
        loop.call_soon_threadsafe(settle)
