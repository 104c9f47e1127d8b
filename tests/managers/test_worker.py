"""One thread per program: its clock, its errors, and what happens when it does not come back."""

from __future__ import annotations

import threading
import time

import pytest

from conductor.errors import ProgramCrashed, ProgramStuck
from conductor.managers.worker import Worker
from tests.managers.program_world import until


async def test_jobs_run_in_order_on_one_named_thread() -> None:
    worker = Worker(name="program:x")
    worker.start()
    names = [await worker.run(lambda: threading.current_thread().name, seconds=5, what="x") for _ in range(3)]
    assert names == ["program:x"] * 3
    assert await worker.end(seconds=5)
    assert not worker.is_alive


async def test_errors_come_back_as_they_are() -> None:
    worker = Worker(name="program:x")
    worker.start()
    with pytest.raises(ZeroDivisionError):
        await worker.run(lambda: 1 // 0, seconds=5, what="x")
    with pytest.raises(TimeoutError, match="its own"):
        await worker.run(lambda: raise_(TimeoutError("its own")), seconds=5, what="x")
    with pytest.raises(ProgramCrashed, match="SystemExit"):
        await worker.run(lambda: raise_(SystemExit(1)), seconds=5, what="x")
    assert await worker.run(lambda: 7, seconds=5, what="x") == 7
    await worker.end(seconds=5)


async def test_a_job_past_its_time_gives_the_thread_up_and_the_loop_goes_on() -> None:
    gate = threading.Event()
    worker = Worker(name="program:x")
    worker.start()
    with pytest.raises(ProgramStuck, match=r"tick did not return within 0\.05 s"):
        await worker.run(lambda: gate.wait(20), seconds=0.05, what="tick")
    with pytest.raises(ProgramStuck, match="stuck in an earlier call"):
        await worker.run(lambda: None, seconds=5, what="tick")
    assert not await worker.end(seconds=0.01)
    gate.set()
    await until(lambda: not worker.is_alive)


async def test_the_cpu_clock_is_the_thread_s_own() -> None:
    worker = Worker(name="program:x")
    worker.start()

    def burn() -> float:
        while time.thread_time() < 0.05:
            pass
        return time.thread_time()

    burnt = await worker.run(burn, seconds=20, what="x")
    assert worker.cpu_seconds() >= burnt >= 0.05
    await worker.run(lambda: time.sleep(0.05), seconds=5, what="x")
    assert worker.cpu_seconds() < burnt + 0.04
    await worker.end(seconds=5)
    assert worker.cpu_seconds() >= burnt


def raise_(exc: BaseException) -> None:
    raise exc
