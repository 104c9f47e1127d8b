from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

KEEPER = """
import asyncio, os, sys
from pathlib import Path
from conductor.errors import ConductorError
from conductor.keeper import Errand, Job, keep
from conductor.locks import hold

place, fake, *names = sys.argv[1:]
place = Path(place)

def tell(line):
    print(line, file=sys.stderr, flush=True)

def job(name):
    return Job(
        name=name,
        command=(sys.executable, fake, str(place), name),
        environment=dict(os.environ),
        socket=place / f"{name}.sock",
        lock=place / f"{name}.lock",
    )

def errand(name):
    command = (sys.executable, "-c", f"print('ran {name}', file=__import__('sys').stderr)")
    return Errand(name=name, command=command, environment=dict(os.environ), within=5)

try:
    hold(place / "keeper.lock")
    asyncio.run(keep(jobs=[job(n) for n in names], tell=tell, once_ready=errand("greeting"), at_end=errand("unloading")))
except ConductorError as exc:
    tell(f"refused: {exc}")
    sys.exit(1)
"""
FAKE = """
import os, signal, socket, sys, time
from pathlib import Path
from conductor.locks import hold

place, name = Path(sys.argv[1]), sys.argv[2]
hold(place / f"{name}.lock")
mode = (place / f"{name}.mode").read_text() if (place / f"{name}.mode").exists() else ""
with (place / "starts").open("a") as starts:
    starts.write(f"{name} {os.getpid()} {time.monotonic()}\\n")
if mode == "crash":
    sys.exit(7)
if mode == "refuse":
    sys.exit(2)
path = place / f"{name}.sock"
path.unlink(missing_ok=True)
door = socket.socket(socket.AF_UNIX)
door.bind(str(path))
door.listen(16)

def end(*_):
    with (place / "ends").open("a") as ends:
        ends.write(f"{name}\\n")
    os._exit(0)

signal.signal(signal.SIGTERM, end)
signal.signal(signal.SIGUSR1, lambda *_: (place / f"{name}.usr1").touch())
while True:
    time.sleep(60)
"""


class World:
    """A keeper over two fake processes that lock and listen as the real ones do."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.stack = ExitStack()
        self.log = place / "log"
        (place / "fake.py").write_text(FAKE)
        (place / "keeper.py").write_text(KEEPER)

    def up(self, *names: str) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            keeper = subprocess.Popen(
                [
                    sys.executable,
                    self.place / "keeper.py",
                    self.place,
                    self.place / "fake.py",
                    *(names or ("loader", "agent")),
                ],
                stderr=log,
            )
        self.stack.callback(self._end, keeper)
        return keeper

    def starts(self, name: str) -> list[tuple[int, float]]:
        path = self.place / "starts"
        lines = [line.split() for line in path.read_text().splitlines()] if path.exists() else []
        return [(int(pid), float(at)) for found, pid, at in lines if found == name]

    def pid(self, name: str) -> int:
        return self.starts(name)[-1][0]

    def said(self, words: str, times: int = 1) -> Callable[[], bool]:
        return lambda: self.log.read_text().count(words) >= times

    def close(self) -> None:
        self.stack.close()
        for name in ("loader", "agent"):
            for pid, _ in self.starts(name):
                if b"fake.py" in _command_line(pid):
                    os.kill(pid, signal.SIGKILL)

    @staticmethod
    def _end(keeper: subprocess.Popen[bytes]) -> None:
        keeper.kill()
        keeper.wait()


def _command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


@pytest.fixture
def world() -> Iterator[World]:
    with TemporaryDirectory(prefix="keeper-", dir="/tmp") as made:  # short: a socket's path has 107 bytes
        world = World(Path(made))
        try:
            yield world
        finally:
            world.close()


def until(claim: Callable[[], bool], within: float = 15.0) -> None:
    deadline = time.monotonic() + within
    while not claim():
        assert time.monotonic() < deadline, "did not come true in time"
        time.sleep(0.02)


def test_the_agent_starts_after_the_loader_is_ready_and_ends_before_it(world: World) -> None:
    keeper = world.up()
    until(world.said("agent: ready"))
    log = world.log.read_text()
    assert log.index("loader: ready") < log.index("agent: started")
    until(world.said("ran greeting"))
    keeper.send_signal(signal.SIGTERM)
    assert keeper.wait(10) == 0
    assert (world.place / "ends").read_text().split() == ["agent", "loader"]
    assert world.log.read_text().endswith("unloading what was loaded\nran unloading\n")


@pytest.mark.parametrize("name", ["loader", "agent"])
def test_either_is_started_again_after_a_kill(world: World, name: str) -> None:
    world.up()
    until(world.said("agent: ready"))
    os.kill(world.pid(name), signal.SIGKILL)
    until(lambda: len(world.starts(name)) == 2)
    until(world.said(f"{name}: ready", times=2))
    assert f"{name}: ended by SIGKILL; starting again in 0.2 s" in world.log.read_text()
    assert len(world.starts("loader")) + len(world.starts("agent")) == 3


def test_pauses_double_while_it_never_gets_ready_and_begin_anew_after(world: World) -> None:
    (world.place / "agent.mode").write_text("crash")
    world.up("agent")
    until(lambda: len(world.starts("agent")) >= 3)
    log = world.log.read_text()
    assert [f"starting again in {pause} s" in log for pause in (0.2, 0.4)] == [True, True]
    (world.place / "agent.mode").unlink()
    until(world.said("agent: ready"))
    before = world.log.read_text().count("in 0.2 s")
    os.kill(world.pid("agent"), signal.SIGKILL)
    until(world.said("agent: ready", times=2))
    assert world.log.read_text().count("in 0.2 s") == before + 1


def test_both_run_on_when_the_keeper_dies_and_the_next_one_adopts_them(world: World) -> None:
    first = world.up()
    until(world.said("agent: ready"))
    pids = {world.pid("loader"), world.pid("agent")}
    first.kill()
    first.wait()
    second = world.up()
    until(world.said("agent: ready", times=2))
    assert {f"loader: adopted (pid {world.pid('loader')})", f"agent: adopted (pid {world.pid('agent')})"} <= set(
        world.log.read_text().splitlines()
    )
    assert pids == {world.pid("loader"), world.pid("agent")}
    assert len(world.starts("agent")) == 1
    os.kill(world.pid("agent"), signal.SIGKILL)
    until(lambda: len(world.starts("agent")) == 2)
    until(world.said("agent: ready", times=3))
    second.send_signal(signal.SIGINT)
    assert second.wait(10) == 0
    assert (world.place / "ends").read_text().split() == ["agent", "loader"]


@pytest.mark.slow
def test_an_agent_that_did_not_wait_for_a_late_loader_is_started_again_once_that_is_ready(world: World) -> None:
    (world.place / "loader.mode").write_text("crash")
    keeper = world.up()
    until(world.said("agent: ready"), within=30)
    (world.place / "loader.mode").unlink()
    until(world.said("agent: ready", times=2), within=20)
    log = world.log.read_text()
    assert log.index("loader: ready") < log.index("agent: starting again, for loader is ready now")
    os.kill(world.pid("loader"), signal.SIGKILL)
    until(world.said("loader: ready", times=2))
    assert len(world.starts("agent")) == 2, "a loader that was there before is waited for by the agent itself"
    keeper.send_signal(signal.SIGTERM)
    assert keeper.wait(10) == 0


def test_a_pid_file_without_its_lock_adopts_nobody(world: World) -> None:
    bystander = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    world.stack.callback(bystander.wait)
    world.stack.callback(bystander.kill)
    (world.place / "agent.lock").write_text(f"{bystander.pid}\n")
    keeper = world.up("agent")
    until(world.said("agent: ready"))
    keeper.send_signal(signal.SIGTERM)
    assert keeper.wait(10) == 0
    assert bystander.poll() is None
    assert "adopted" not in world.log.read_text()


def test_a_second_keeper_is_refused(world: World) -> None:
    first = world.up("agent")
    until(world.said("agent: ready"))
    assert world.up("agent").wait(10) == 1
    assert f"refused: process {first.pid} holds" in world.log.read_text()
    assert len(world.starts("agent")) == 1


def test_settings_that_are_refused_end_the_keeper_in_order(world: World) -> None:
    (world.place / "agent.mode").write_text("refuse")
    keeper = world.up()
    assert keeper.wait(15) == 1
    assert "refused: agent: refused its settings" in world.log.read_text()
    assert (world.place / "ends").read_text().split() == ["loader"]


def test_other_signals_are_forwarded(world: World) -> None:
    keeper = world.up()
    until(world.said("agent: ready"))
    keeper.send_signal(signal.SIGUSR1)
    until(lambda: all((world.place / f"{name}.usr1").exists() for name in ("loader", "agent")))
    assert keeper.poll() is None


def test_a_socket_that_somebody_else_serves_is_not_readiness(world: World) -> None:
    (world.place / "agent.mode").write_text("crash")
    other = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import socket, sys, time; s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen(); time.sleep(60)",
            world.place / "agent.sock",
        ]
    )
    world.stack.callback(other.wait)
    world.stack.callback(other.kill)
    until((world.place / "agent.sock").exists)
    world.up("agent")
    until(lambda: len(world.starts("agent")) >= 3)
    assert "ready" not in world.log.read_text()
