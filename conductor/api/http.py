"""The HTTP server: binds the address, keeps clients within bounds, and serves the door until its scope ends.

Whoever may reach the address may read; nothing can be changed here. A slow or broken client costs a bounded number
of connections and bodies for a bounded time, and never the event loop.
"""

from __future__ import annotations

import asyncio
import errno
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import web
from typing_extensions import override

from conductor.api.http_door import Bounds, HttpDoor
from conductor.api.scope import task_group
from conductor.api.scrapes import Scrapes
from conductor.errors import AddressInUse, InvalidConfig
from conductor.exporter.page import Page
from conductor.model.status import Cost, KernelStatus, ProgramStatus

__all__ = ["Bounds", "HttpDoor", "serving"]

_USUAL: Final = Bounds()


@asynccontextmanager
async def serving(
    *,
    address: str,
    page: Page,
    programs: Callable[[], Sequence[ProgramStatus]],
    ready: Callable[[], tuple[bool, Sequence[str]]],
    kernel: Callable[[], Sequence[KernelStatus]] = tuple,
    costs: Callable[[], Sequence[Cost]] = tuple,
    node: str = "",
    version: str = "",
    clock: Callable[[], float] = time.time,
    bounds: Bounds = _USUAL,
) -> AsyncIterator[HttpDoor]:
    """Serve on `host:port` (an empty host: all addresses) until the scope ends.

    Raises `AddressInUse`, `InvalidConfig`.
    """
    async with Scrapes.running(page=page) as scrapes, task_group() as group:
        door = HttpDoor(
            scrapes=scrapes,
            programs=programs,
            ready=ready,
            kernel=kernel,
            costs=costs,
            node=node,
            version=version,
            clock=clock,
            bounds=bounds,
        )
        beat = group.create_task(door.beat(), name="http-beat")
        try:
            async with _listening(door, address, bounds):
                yield door
        finally:
            beat.cancel()


@asynccontextmanager
async def _listening(door: HttpDoor, address: str, bounds: Bounds) -> AsyncIterator[None]:
    runner = web.AppRunner(
        door.application(),
        access_log=None,
        handle_signals=False,
        keepalive_timeout=bounds.idle_seconds,
        lingering_time=1.0,
        shutdown_timeout=1.0,
    )
    await runner.setup()
    try:
        server = await _listen(runner, address, bounds)
        try:
            bound = server.sockets[0].getsockname()
            door.address = f"{f'[{bound[0]}]' if ':' in bound[0] else bound[0]}:{bound[1]}"
            yield
        finally:
            server.close()
    finally:
        await _hang_up(runner)


async def _hang_up(runner: web.AppRunner) -> None:
    """End all connections: running answers have a second, then whoever still does not read is cut off."""
    assert runner.server is not None
    transports = [connection.transport for connection in runner.server.connections]
    await runner.cleanup()
    for transport in transports:
        if isinstance(transport, asyncio.WriteTransport):
            transport.abort()  # a mere close would wait for the client to read what is buffered
    await asyncio.sleep(0)  # lets the aborted ones close


async def _listen(runner: web.AppRunner, address: str, bounds: Bounds) -> asyncio.Server:
    host, _, port = address.rpartition(":")
    http = runner.server
    assert http is not None  # setup has been awaited

    def accept() -> asyncio.BaseProtocol:
        return http() if len(http.connections) < bounds.connections else _Full()

    try:
        return await asyncio.get_running_loop().create_server(accept, host.strip("[]") or None, int(port))
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise AddressInUse(f"{address} is in use; choose another with --http-address") from error
        raise InvalidConfig((("http-address", f"{address}: {error.strerror or error}"),)) from error


class _Full(asyncio.Protocol):
    """Turns a connection away: there are too many."""

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.abort()
