"""The command line before an agent whose manager lives in memory; both talk through a real socket."""

from __future__ import annotations

import asyncio
import io
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from conductor.cli import main
from tests.api.conftest import House, house


@dataclass(frozen=True)
class Said:
    """What a command left behind."""

    code: int
    out: str
    err: str


Conduct = Callable[..., Said]


@dataclass(frozen=True)
class Served:
    """A served agent, and a way to do something inside its loop."""

    house: House
    loop: asyncio.AbstractEventLoop

    @property
    def socket(self) -> Path:
        return self.house.socket

    def do(self, action: Callable[[House], object]) -> None:
        """Call in the loop's thread and wait."""

        async def call() -> None:
            done = action(self.house)
            if asyncio.iscoroutine(done):
                await done

        asyncio.run_coroutine_threadsafe(call(), self.loop).result(10)


@pytest.fixture
def conduct(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Conduct:
    """Run the command line in this process, from argv to exit code."""

    def run(*words: str | Path, stdin: str = "") -> Said:
        monkeypatch.setattr(sys, "argv", ["conductor", *map(str, words)])
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            main()
        captured = capsys.readouterr()
        return Said(int(left.value.code or 0), captured.out, captured.err)

    return run


@pytest.fixture
def served() -> Iterator[Served]:
    """An agent in a thread of its own, for as long as the test."""
    ready, over = threading.Event(), threading.Event()
    found: list[Served] = []

    async def live() -> None:
        async with house() as here:
            found.append(Served(here, asyncio.get_running_loop()))
            ready.set()
            while not over.is_set():  # noqa: ASYNC110 - set by another thread
                await asyncio.sleep(0.01)

    def begin() -> None:
        try:
            asyncio.run(live())
        finally:
            ready.set()

    thread = threading.Thread(target=begin)
    thread.start()
    try:
        assert ready.wait(10), "the agent did not start in time"
        assert found, "the agent did not start"
        yield found[0]
    finally:
        over.set()
        thread.join(10)


@pytest.fixture
def agent(conduct: Conduct, served: Served, monkeypatch: pytest.MonkeyPatch) -> Conduct:
    """The command line, told by the environment where the agent is."""
    monkeypatch.setenv("CONDUCTOR_AGENT_SOCKET", str(served.socket))
    return conduct
