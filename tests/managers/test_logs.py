"""Logs of programs: kept, limited, followed."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator

from conductor.managers.logs import LogBook
from conductor.model.agent import LogLine
from conductor.model.ids import Name

P = Name("p")


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_the_last_lines_are_kept() -> None:
    logs = LogBook(kept=3)
    sink = logs.sink(P, rate=100)
    for number in range(5):
        sink("info", f"line {number}")
    assert [line.message for line in logs.tail(P)] == ["line 2", "line 3", "line 4"]
    assert [line.message for line in logs.tail(P, 1)] == ["line 4"]
    assert logs.tail(Name("nobody")) == ()


def test_too_many_lines_are_dropped_and_counted() -> None:
    clock = Clock()
    logs = LogBook(clock=clock)
    sink = logs.sink(P, rate=2)
    for _ in range(5):
        sink("info", "x")
    assert (len(logs.tail(P)), logs.dropped(P)) == (2, 3)
    clock.now += 0.5
    sink("info", "y")
    sink("info", "z")
    assert (len(logs.tail(P)), logs.dropped(P)) == (3, 4)


def test_what_the_agent_says_costs_a_program_none_of_its_lines() -> None:
    logs = LogBook(clock=Clock())
    sink = logs.sink(P, rate=1)
    for _ in range(3):
        logs.tell(P, "warning", "Waiting")
    sink("info", "mine")
    assert [line.message for line in logs.tail(P)] == ["Waiting"] * 3 + ["mine"]
    assert logs.dropped(P) == 0
    logs.tell(Name("nobody"), "info", "nothing")
    assert logs.tail(Name("nobody")) == ()


def test_a_line_cannot_move_the_cursor_or_flood_the_screen() -> None:
    logs = LogBook()
    logs.sink(P, rate=9)("nonsense", "\x1b[2Jhi\nthere" + "x" * 10_000)
    (line,) = logs.tail(P)
    assert line.message.startswith("\\x1b[2Jhi\\nthere")
    assert len(line.message) < 5000
    assert line.level == "info"


async def test_lines_written_on_a_thread_are_followed() -> None:
    logs = LogBook()
    sink = logs.sink(P, rate=10)
    heard: list[str] = []

    async def follow() -> None:
        heard.extend([line.message async for line in logs.follow(P)])

    async with asyncio.TaskGroup() as group:
        group.create_task(follow())
        await asyncio.sleep(0.01)
        thread = threading.Thread(target=lambda: sink("info", "from a thread"))
        thread.start()
        thread.join()
        await asyncio.sleep(0.01)
        logs.forget(P)
    assert heard == ["from a thread"]


async def test_a_follower_that_lags_is_told_how_much_it_missed() -> None:
    logs = LogBook()
    sink = logs.sink(P, rate=10_000)
    lines = logs.follow(P)
    async with asyncio.TaskGroup() as group:
        first = group.create_task(_first(lines))
        await asyncio.sleep(0.01)
        for number in range(1500):
            sink("info", str(number))
    assert first.result() == "0"
    assert await _first(lines) == "500 lines were written faster than they were read here"
    await lines.aclose()


async def _first(lines: AsyncGenerator[LogLine, None]) -> str:
    return (await anext(lines)).message
