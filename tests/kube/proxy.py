"""A wire to the API server that can be cut: bytes stop, and nobody is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

__all__ = ["Proxy"]


class Proxy:
    """Forward connections of loopback to a port; while cut they are held, both ways."""

    def __init__(self, *, target: int) -> None:
        self._target = target
        self._fair = asyncio.Event()
        self._fair.set()
        self.port = 0
        self.delay = 0.0
        """Seconds that bytes take, each way."""

    @classmethod
    @asynccontextmanager
    async def running(cls, target: int) -> AsyncIterator[Proxy]:
        """Listen on a free port."""
        proxy = cls(target=target)
        server = await asyncio.start_server(proxy._forward, "127.0.0.1", 0)
        proxy.port = server.sockets[0].getsockname()[1]
        try:
            yield proxy
        finally:
            server.close()
            proxy.heal()
            server.close_clients() if hasattr(server, "close_clients") else None

    def cut(self) -> None:
        """Let nothing through."""
        self._fair.clear()

    def heal(self) -> None:
        """Let everything through, what waited too."""
        self._fair.set()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            await self._fair.wait()
            there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self._target)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(reader, there_writer), name="up")
                group.create_task(self._pump(there_reader, writer), name="down")

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(OSError):
                while data := await reader.read(1 << 16):
                    await asyncio.sleep(self.delay)
                    await self._fair.wait()
                    writer.write(data)
                    await writer.drain()
        finally:
            writer.close()
