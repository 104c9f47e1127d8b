"""`conductor up`: start loader and agent, start them again when they end, end them in order. Nothing else.

The keeper is root, serves no socket and parses nothing from others. What it started runs on when it dies: each process
holds a lock for its life (`hold`), and the next keeper adopts whoever the kernel says holds it.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from conductor.errors import AddressInUse, InvalidConfig
from conductor.locks import holder

__all__ = ["Errand", "Job", "keep"]

Tell = Callable[[str], None]

FIRST_PAUSE, LONGEST_PAUSE = 0.2, 5.0
START_PATIENCE, STOP_PATIENCE = 10.0, 25.0
_WRONG_SETTINGS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A process to be kept. It is ready when the process itself (by peer credentials) answers on its socket."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    socket: Path
    lock: Path


# --- processes ----------------------------------------------------------------------------------------------------------


class _Process:
    """One living process, by pidfd; ours (then it is reaped) or adopted."""

    def __init__(self, *, pidfd: int, child: subprocess.Popen[bytes] | None = None) -> None:
        self._pidfd, self._child = pidfd, child
        self.pid = child.pid if child else _pid_of(pidfd)

    def send(self, number: int) -> None:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, number)

    async def ended(self) -> int | None:
        """Wait for its end; its return code, or None where it was another keeper's child."""
        loop, over = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(self._pidfd, over.set)
        try:
            await over.wait()
        finally:
            loop.remove_reader(self._pidfd)
        return self._child.wait() if self._child else None

    def close(self) -> None:
        os.close(self._pidfd)


class _Kept:
    """One job and the process that does it at present."""

    def __init__(self, *, job: Job, tell: Tell) -> None:
        self.job, self._tell = job, tell
        self._process: _Process | None = None
        self._kill: asyncio.TimerHandle | None = None
        self._ending = asyncio.Event()
        self.ready = asyncio.Event()

    async def run(self) -> None:
        """Keep the job done until `end`. Raises `InvalidConfig` where the process says that its settings are wrong."""
        pause = FIRST_PAUSE
        while not self._ending.is_set():
            how = await self._once()
            if self._ending.is_set():
                break
            pause = FIRST_PAUSE if self.ready.is_set() else pause
            self.ready.clear()
            self._tell(f"{self.job.name}: {how}; starting again in {pause:g} s")
            await _first(self._ending, within=pause)
            pause = min(pause * 2, LONGEST_PAUSE)
        self._tell(f"{self.job.name}: ended")

    def send(self, number: int) -> None:
        """Forward a signal."""
        if self._process:
            self._process.send(number)

    def end(self) -> None:
        """Ask the process to stop, and kill it where it does not; `run` returns once it is gone."""
        self._ending.set()
        if self._process:
            self._tell(f"{self.job.name}: stopping")
            self._process.send(signal.SIGTERM)
            self._kill = asyncio.get_running_loop().call_later(STOP_PATIENCE, self.send, signal.SIGKILL)

    async def _once(self) -> str:
        """Have one process and see it through, from start or adoption to its end; say how it ended."""
        try:
            self._process = self._adopted() or self._started()
        except (OSError, AddressInUse) as exc:
            return str(exc)
        try:
            async with asyncio.TaskGroup() as group:
                probe = group.create_task(self._become_ready(self._process.pid), name=f"{self.job.name} ready")
                code = await self._process.ended()
                probe.cancel()
        finally:
            self._process.close()
            self._process = None
            if self._kill:
                self._kill.cancel()
        if code == _WRONG_SETTINGS and not self.ready.is_set():
            raise InvalidConfig(((self.job.name, "refused its settings, which will not get better by trying again"),))
        return _how(code)

    def _adopted(self) -> _Process | None:
        if (pidfd := holder(self.job.lock)) is None:
            return None
        process = _Process(pidfd=pidfd)
        self._tell(f"{self.job.name}: adopted (pid {process.pid})")
        return process

    def _started(self) -> _Process:
        process = _start(self.job.command, self.job.environment)
        self._tell(f"{self.job.name}: started (pid {process.pid})")
        return process

    async def _become_ready(self, pid: int) -> None:
        began = asyncio.get_running_loop().time()
        while not _answers(self.job.socket, pid):  # noqa: ASYNC110 - a socket of another process tells nobody
            await asyncio.sleep(0.05)
        self._tell(f"{self.job.name}: ready after {asyncio.get_running_loop().time() - began:.1f} s")
        self.ready.set()


# --- the keeper ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Errand:
    """A process that is run once, within a time."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    within: float
    """Seconds."""


async def keep(*, jobs: Sequence[Job], tell: Tell, once_ready: Errand | None, at_end: Errand | None) -> None:
    """Keep the jobs done until SIGTERM, SIGINT or SIGHUP, then end them, last one first, and run `at_end`.

    A job starts once the one before it is ready, or late. A second SIGTERM or SIGINT kills. Raises `InvalidConfig`
    where a process refuses its settings, after all were ended.
    """
    stopping, kept = asyncio.Event(), [_Kept(job=job, tell=tell) for job in jobs]
    refusals: list[InvalidConfig] = []

    async def see_through(one: _Kept) -> None:
        try:
            await one.run()
        except InvalidConfig as exc:
            refusals.append(exc)
            stopping.set()

    with _signals(stopping, kept):
        async with asyncio.TaskGroup() as group:
            tasks, beside = [], []
            for one, before in zip(kept, (None, *kept), strict=False):
                if before is not None and not before.ready.is_set():
                    beside.append(group.create_task(_begin_anew(one, before, tell), name=f"{one.job.name} anew"))
                tasks.append(group.create_task(see_through(one), name=one.job.name))
                await _first(one.ready, stopping, within=START_PATIENCE)
            beside.append(group.create_task(_greet(kept[-1], once_ready, tell), name="greeting"))
            await stopping.wait()
            for task in beside:
                task.cancel()
            for one, task in zip(reversed(kept), reversed(tasks), strict=True):
                one.end()
                await task
        if at_end and not refusals:
            tell(f"{at_end.name} what was loaded")
            await _run(at_end, tell)
    if refusals:
        raise refusals[0]


async def _begin_anew(one: _Kept, before: _Kept, tell: Tell) -> None:
    """Start a process again once the late one before it is ready: a view of its own lacks what was mounted since."""
    await before.ready.wait()
    tell(f"{one.job.name}: starting again, for {before.job.name} is ready now")
    one.send(signal.SIGTERM)


async def _greet(last: _Kept, errand: Errand | None, tell: Tell) -> None:
    await last.ready.wait()
    if errand:
        await _run(errand, tell)


async def _run(errand: Errand, tell: Tell) -> None:
    process = _start(errand.command, errand.environment)
    try:
        async with asyncio.timeout(errand.within):
            code = await process.ended()
    except TimeoutError:
        tell(f"{errand.name}: not done within {errand.within:g} s")
    else:
        if code:
            tell(f"{errand.name}: {_how(code)}")
    finally:
        process.send(signal.SIGKILL)
        process.close()


@contextmanager
def _signals(stopping: asyncio.Event, kept: Sequence[_Kept]) -> Iterator[None]:
    loop = asyncio.get_running_loop()

    def stop() -> None:
        if stopping.is_set():
            forward(signal.SIGKILL)
        stopping.set()

    def forward(number: int) -> None:
        for one in kept:
            one.send(number)

    ends = [
        signal.SIGTERM,
        signal.SIGINT,
        *([signal.SIGHUP] if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN else []),
    ]
    for number in ends:
        loop.add_signal_handler(number, stop)
    for number in (signal.SIGUSR1, signal.SIGUSR2):
        loop.add_signal_handler(number, forward, number)
    try:
        yield
    finally:
        for number in (*ends, signal.SIGUSR1, signal.SIGUSR2):
            loop.remove_signal_handler(number)


async def _first(*events: asyncio.Event, within: float) -> None:
    """Wait for any of the events, or for the time to pass."""
    either = asyncio.Event()

    async def relay(event: asyncio.Event) -> None:
        await event.wait()
        either.set()

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(relay(event), name="relay") for event in events]
        with suppress(TimeoutError):
            async with asyncio.timeout(within):
                await either.wait()
        for task in tasks:
            task.cancel()


def _start(command: Sequence[str], environment: Mapping[str, str]) -> _Process:
    """Start in a session of its own: a terminal's Ctrl-C is for the keeper alone, and its death for nobody."""
    child = subprocess.Popen(
        command, env=environment, cwd="/", stdin=subprocess.DEVNULL, stdout=sys.stderr, start_new_session=True
    )
    return _Process(pidfd=os.pidfd_open(child.pid), child=child)


def _answers(path: Path, pid: int) -> bool:
    """Whether this very process listens there: the kernel tells who made the listening socket (SO_PEERCRED)."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        try:
            probe.connect(str(path))
        except OSError:
            return False
        credentials = probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    return bool(struct.unpack("3i", credentials)[0] == pid)


def _pid_of(pidfd: int) -> int:
    text = Path(f"/proc/self/fdinfo/{pidfd}").read_text()
    return int(next(line.split()[1] for line in text.splitlines() if line.startswith("Pid:")))


def _how(code: int | None) -> str:
    if code is None:
        return "ended"
    return f"ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
