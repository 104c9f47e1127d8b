"""One thread that does one job at a time, and may get stuck without taking anyone along."""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

from conductor.errors import ProgramCrashed, ProgramStuck

__all__ = ["Worker"]

T = TypeVar("T")
_Job = tuple[Callable[[], Any], "asyncio.Future[Any]", asyncio.AbstractEventLoop]


class Worker:
    """Own a named daemon thread. A job past its time is not ended (Python cannot): the thread is abandoned."""

    def __init__(self, *, name: str) -> None:
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._clock: int | None = None
        self._spent = 0.0
        self.abandoned = False

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        """Whether the thread is still there."""
        return self._thread.is_alive()

    def cpu_seconds(self) -> float:
        """CPU time of the thread, the running job included."""
        clock = self._clock
        if clock is not None:
            with suppress(OSError):  # it ended this very moment
                return time.clock_gettime(clock)
        return self._spent

    async def run(self, job: Callable[[], T], *, seconds: float, what: str) -> T:
        """Do a job on the thread; cancelling leaves it going. Raises what the job raises.

        Raises `ProgramStuck` after `seconds`: the thread is given up, and nothing more may be asked of it.
        """
        if self.abandoned:
            raise ProgramStuck(f"{what}: its thread is stuck in an earlier call")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._jobs.put((job, future, loop))
        try:
            async with asyncio.timeout(seconds):
                return await future
        except TimeoutError as exc:
            if not future.cancelled():
                raise  # the job itself raised it
            self.abandoned = True
            raise ProgramStuck(f"{what} did not return within {seconds:g} s; its thread is left behind") from exc

    async def end(self, *, seconds: float) -> bool:
        """Let the thread end after the job it does; answer whether it did within `seconds`."""
        self._jobs.put(None)
        deadline = asyncio.get_running_loop().time() + seconds
        while self._thread.is_alive():
            if asyncio.get_running_loop().time() > deadline:
                self.abandoned = True
                return False
            await asyncio.sleep(0.002)
        return True

    def _work(self) -> None:
        self._clock = time.pthread_getcpuclockid(threading.get_ident())
        while (item := self._jobs.get()) is not None:
            job, future, loop = item
            try:
                done: tuple[Any, BaseException | None] = (job(), None)
            except BaseException as exc:  # noqa: BLE001 - handed to who asked, SystemExit included
                done = (None, exc)
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(_answer, future, *done)
            del item, job, future, done
        self._spent, self._clock = time.thread_time(), None


def _answer(future: asyncio.Future[Any], value: Any, exc: BaseException | None) -> None:
    if future.done():
        return
    if exc is None:
        future.set_result(value)
    elif isinstance(exc, Exception) and not isinstance(exc, StopIteration):
        future.set_exception(exc)
    else:
        future.set_exception(ProgramCrashed(f"the program raised {type(exc).__name__}"))
