"""The one road to the kernel: calls in our words, of which only what may be repeated is repeated."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Self, TypeVar

from conductor.bpfman.choice import Mode, RoadFile
from conductor.bpfman.connection import Connection, jittered
from conductor.bpfman.flavour import Flavour
from conductor.bpfman.session import RoadCounters, Session
from conductor.errors import AnswerLost, ConductorError, KernelAway
from conductor.model.ids import LinkId, ProgramId
from conductor.model.kernel import KernelType, Link
from conductor.ports import KernelLoad, KernelLoaded, RoadStatus

__all__ = ["BpfmanRoad"]

T = TypeVar("T")

ATTEMPTS = 4
"""Of a call that did not leave us, or changes nothing."""


class BpfmanRoad:
    """Implement `ports.Kernel` over bpfman's socket or our loader's; the only client of either in this process."""

    def __init__(self, *, connection: Connection, loader_socket: Path, counters: RoadCounters) -> None:
        self._connection, self._loader = connection, loader_socket
        self.counters = counters

    @classmethod
    @asynccontextmanager
    async def running(
        cls, *, mode: Mode, bpfman_socket: Path, loader_socket: Path, state_dir: Path, boot_id: str
    ) -> AsyncIterator[Self]:
        """Look for the daemon and keep the connection while the body runs; what is loaded stays loaded."""
        counters = RoadCounters()
        async with Connection.kept(
            mode=mode,
            bpfman_socket=bpfman_socket,
            loader_socket=loader_socket,
            file=RoadFile(path=state_dir / "road.json", boot_id=boot_id),
            counters=counters,
        ) as connection:
            yield cls(connection=connection, loader_socket=loader_socket, counters=counters)

    @property
    def status(self) -> RoadStatus:
        """What stands at the other end now."""
        return self._connection.status

    def connection(self) -> AsyncIterator[RoadStatus]:
        """Tell every change of `status`, the present one first; runs for ever."""
        return self._connection.told()

    async def loaded(self, match: Mapping[str, str]) -> tuple[KernelLoaded, ...]:
        """List what the daemon holds with exactly these metadata, links included."""
        return await self._ask(lambda session: session.loaded(match))

    async def unmanaged(self) -> tuple[KernelLoaded, ...] | None:
        """List what the kernel runs and the daemon does not hold: only the Rust daemon tells."""
        return await self._ask(lambda session: session.unmanaged())

    async def load(self, load: KernelLoad) -> tuple[KernelLoaded, ...]:
        """Load the programs of one object: all share its maps, or none is loaded."""
        loaded = await self._ask(lambda session: session.load(load))
        if self.status.flavour != Flavour.LOADER:
            await self._look()
        return loaded

    async def attach(self, program: ProgramId, type_: KernelType, link: Link, interface: str) -> LinkId:
        """Attach one link. Raises `AnswerLost` where it may have happened: never repeat it on that program."""
        return await self._ask(lambda session: session.attach(program, type_, link, interface))

    async def detach(self, link: LinkId) -> None:
        """Detach one link. Raises `NotFound` when it is gone."""
        await self._ask(lambda session: session.detach(link))

    async def unload(self, program: ProgramId) -> None:
        """Unload one program. Raises `NotFound` when it is gone."""
        await self._ask(lambda session: session.unload(program))

    async def run_stats(self) -> Mapping[ProgramId, tuple[float, int]] | None:
        """Run times from our loader, or from one that assists a bpfman; None where nobody serves them."""
        session = self._connection.session
        if session is None:
            return None
        try:
            if session.daemon.flavour is Flavour.LOADER:
                return await session.run_stats()
            async with Session.opened(socket=self._loader, counters=self.counters) as assistant:
                return await assistant.run_stats()
        except ConductorError:
            return None

    async def _look(self) -> None:
        """Tell the assistant, where there is one, that there are pins to give."""
        with suppress(ConductorError):
            async with Session.opened(socket=self._loader, counters=RoadCounters()) as assistant:
                if assistant.daemon.flavour is Flavour.ASSIST:
                    await assistant.look()

    async def _ask(self, call: Callable[[Session], Awaitable[T]]) -> T:
        """Make a call; repeat it, with jitter, as long as it never reached a daemon."""
        for attempt in range(1, ATTEMPTS):
            session = await self._connection.ready()
            try:
                return await call(session)
            except AnswerLost:
                raise
            except KernelAway:
                self.counters.retries += 1
                await asyncio.sleep(jittered(0.05 * 2**attempt))
        return await call(await self._connection.ready())
