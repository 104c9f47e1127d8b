"""The connection to the kernel daemon: found, kept, lost and found again; its flavour is asked anew each time."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from conductor.bpfman.choice import Candidate, Mode, RoadFile, candidates
from conductor.bpfman.flavour import Flavour
from conductor.bpfman.session import RoadCounters, Session
from conductor.errors import ConductorError, KernelAway, NoKernelRoad
from conductor.ports import RoadStatus

__all__ = ["Connection", "jittered"]

log = logging.getLogger(__name__)

PATIENCE = 5.0
"""Seconds that a call waits for a daemon that was there and will be again: a restart takes less."""
SLOWEST = 5.0
"""Seconds between two looks for a daemon, at most, while its socket stays as it is."""
GLANCE = 0.25
"""Seconds between two glances at the sockets' files, which cost next to nothing."""


class Connection:
    """Own the session with the daemon: the only place that connects."""

    def __init__(
        self, *, mode: Mode, bpfman_socket: Path, loader_socket: Path, file: RoadFile, counters: RoadCounters
    ) -> None:
        self._mode, self._bpfman, self._loader, self._file = mode, bpfman_socket, loader_socket, file
        self._counters = counters
        self.session: Session | None = None
        problem = "switched off by `--kernel none`" if mode == "none" else "no kernel daemon has answered yet"
        self.status = RoadStatus(road="none" if mode == "auto" else mode, problem=problem)
        self._changes = 0
        self._changed = asyncio.Event()
        self._looked = False
        self._met = False
        self._hopeless = False

    @classmethod
    @asynccontextmanager
    async def kept(
        cls, *, mode: Mode, bpfman_socket: Path, loader_socket: Path, file: RoadFile, counters: RoadCounters
    ) -> AsyncIterator[Self]:
        """Look for the daemon and keep the connection while the body runs."""
        self = cls(mode=mode, bpfman_socket=bpfman_socket, loader_socket=loader_socket, file=file, counters=counters)
        async with _beside(self._travel(), name="road to the kernel"):
            yield self

    async def told(self) -> AsyncIterator[RoadStatus]:
        """Tell every change of `status`, the present one first; a reconnect is told even if nothing else differs."""
        told = -1
        while True:
            if told != self._changes:
                told = self._changes
                yield self.status
            else:
                await self._changed.wait()

    async def ready(self) -> Session:
        """Wait for a daemon, though not long. Raises `KernelAway`, or `NoKernelRoad` where none was ever found."""
        try:
            async with asyncio.timeout(PATIENCE):
                while self.session is None:
                    if self._mode == "none" or (self._looked and self.status.road == "none"):
                        raise NoKernelRoad(f"no road to the kernel: {self.status.problem}")
                    if self._hopeless:
                        raise KernelAway(self.status.problem)
                    await self._changed.wait()
        except TimeoutError:
            raise KernelAway(self.status.problem) from None
        return self.session

    async def _travel(self) -> None:
        """Look for a daemon, stay with it until the connection ends, look again; for ever."""
        if self._mode == "none":
            await asyncio.Event().wait()
        failures = 0
        while True:
            seen = self._sockets()
            failures = 0 if await self._look() else failures + 1
            if await self._rest(jittered(min(SLOWEST, 0.05 * 2 ** min(failures, 8))), seen):
                failures = 0

    async def _rest(self, seconds: float, seen: tuple[tuple[int, int] | None, ...]) -> bool:
        """Wait before the next look; answer early, and whether, a socket is another one than was `seen`."""
        until = asyncio.get_running_loop().time() + seconds
        while (left := until - asyncio.get_running_loop().time()) > 0:
            await asyncio.sleep(min(left, GLANCE))
            if self._sockets() != seen:
                return True
        return False

    def _sockets(self) -> tuple[tuple[int, int] | None, ...]:
        """Tell the sockets apart from later ones in their places."""
        return tuple(map(_identity, (self._bpfman, self._loader)))

    async def _look(self) -> bool:
        """Try the sockets in order; answer whether a daemon was met (and has gone since)."""
        recorded = self._file.load() if self._mode == "auto" else None
        errors = []
        options = candidates(self._mode, bpfman=self._bpfman, loader=self._loader, recorded=recorded)
        for candidate in options:
            error = await self._meet(candidate)
            if error is None:
                return True
            errors.append(error)
        self._looked = True
        self._hopeless = not any(isinstance(error, KernelAway) for error in errors)
        road = options[0].road if len(options) == 1 else "none"
        self._tell_if_new(RoadStatus(road=road, problem="; ".join(map(str, errors))))
        return False

    async def _meet(self, candidate: Candidate) -> ConductorError | None:
        """Stay with the daemon at this socket as long as it is there; answer why it never was, else None."""
        patience = candidate.patience if _exists(candidate.socket) else 0.0
        until = asyncio.get_running_loop().time() + patience
        if patience:
            problem = f"{candidate.socket} is there and has not answered; it is given {patience:g} s"
            self._tell_if_new(replace(self.status, problem=problem))
        while True:
            try:
                async with (
                    _silence_is_away(until if patience else None) as looking,
                    Session.opened(socket=candidate.socket, counters=self._counters) as session,
                ):
                    looking.reschedule(None)
                    _refuse_assistant(candidate, session)
                    await self._stay(candidate, session)
            except KernelAway as error:
                if asyncio.get_running_loop().time() >= until:
                    return KernelAway(f"no answer from {candidate.socket}: {error}")
            except ConductorError as error:
                return error
            else:
                return None
            await asyncio.sleep(jittered(0.2))

    async def _stay(self, candidate: Candidate, session: Session) -> None:
        self._file.store(candidate.road)
        flavour = session.daemon.flavour
        here = RoadStatus(
            road=candidate.road,
            flavour=flavour,
            version=session.daemon.version,
            connected=True,
            kernel_enforces_grants=flavour is Flavour.LOADER,
            lists_what_stands=flavour is Flavour.LOADER,
        )
        self._counters.reconnects += self._met
        self.session, self._looked, self._met, self._hopeless = session, True, True, False
        self._tell(here)
        log.info("%s answers at %s", flavour, candidate.socket)
        try:
            await session.ended()
        finally:
            self.session = None
            problem = f"the connection to {candidate.socket} ended; it is tried again"
            self._tell(RoadStatus(road=candidate.road, problem=problem))

    def _tell_if_new(self, status: RoadStatus) -> None:
        if status != self.status:
            self._tell(status)

    def _tell(self, status: RoadStatus) -> None:
        self.status = status
        self._changes += 1
        self._changed.set()
        self._changed = asyncio.Event()


@asynccontextmanager
async def _silence_is_away(until: float | None) -> AsyncIterator[asyncio.Timeout]:
    """Bound what is awaited inside by a moment of the loop's time. Raises `KernelAway` when it has come."""
    timeout = asyncio.timeout_at(until)
    try:
        async with timeout:
            yield timeout
    except TimeoutError as error:
        if not timeout.expired():
            raise
        raise KernelAway("it is silent") from error


def _refuse_assistant(candidate: Candidate, session: Session) -> None:
    if session.daemon.flavour is Flavour.ASSIST:
        raise KernelAway(f"{candidate.socket} is `conductor loader --assist`, which loads nothing; start bpfman")


def _exists(socket: Path) -> bool:
    try:
        return socket.exists()
    except OSError:  # a directory on the way is closed to us: connecting says so
        return False


def _identity(socket: Path) -> tuple[int, int] | None:
    try:
        found = socket.stat()
    except OSError:
        return None
    return found.st_ino, found.st_ctime_ns


def jittered(seconds: float) -> float:
    """Shorten a wait by up to a half, so that many do not come back at once."""
    return seconds * random.uniform(0.5, 1.0)  # noqa: S311 -- spreads retries, guards nothing


@asynccontextmanager
async def _beside(work: Coroutine[Any, Any, None], *, name: str) -> AsyncIterator[None]:
    """Run `work` as long as the body; what the body raises leaves as it is, not in a group."""
    failure: Exception | None = None
    async with asyncio.TaskGroup() as group:
        task = group.create_task(work, name=name)
        try:
            yield
        except Exception as error:  # noqa: BLE001 -- raised again below
            failure = error
        finally:
            task.cancel()
    if failure is not None:
        raise failure
