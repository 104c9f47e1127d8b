"""One connection to a daemon's socket: it connects once, tells when it ends, and bounds what it reads."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

from grpclib.client import Channel, Handler, Stream
from grpclib.protocol import H2Protocol
from typing_extensions import override

from conductor.errors import MessageTooLarge

__all__ = ["MAX_MESSAGE", "OneConnection", "receive"]

MAX_MESSAGE = 4 << 20
"""Bytes of one answer; a List of thousands of programs is far below."""
_PREFIX = struct.Struct(">?I")


class _Watcher(Handler):
    """Hear of the connection's end from the HTTP/2 layer, which nobody else does."""

    def __init__(self, ended: Callable[[], None]) -> None:
        self._ended = ended

    @override
    def close(self) -> None:
        super().close()
        self._ended()


class OneConnection(Channel):
    """A channel for one connection: after its end another daemon may answer, whose flavour is not known yet."""

    def __init__(self, *, socket: Path) -> None:
        super().__init__(path=str(socket))
        self.socket = socket
        self.ended = asyncio.Event()
        self._spent = False

    @override
    def _protocol_factory(self) -> H2Protocol:
        return H2Protocol(_Watcher(self.ended.set), self._config, self._h2_config)

    @override
    async def _create_connection(self) -> H2Protocol:
        if self._spent:
            raise ConnectionResetError("the connection has ended")
        self._spent = True
        try:
            return await super()._create_connection()
        except BaseException:
            self.ended.set()
            raise

    @override
    def close(self) -> None:
        self._spent = True
        self.ended.set()
        super().close()


async def receive(stream: Stream[Any, Any]) -> bytes | None:
    """Read the one message of an answer, at most `MAX_MESSAGE` bytes; None where the daemon sent none.

    Raises `MessageTooLarge` before anything is buffered. The length is read below grpclib's own reader,
    which takes any length up to 4 GiB.
    """
    if not stream.initial_metadata:
        await stream.recv_initial_metadata()
    source = stream._stream  # noqa: SLF001 -- no public way to see a message's length before its bytes
    with stream._wrapper:  # noqa: SLF001 -- as grpclib's own reader does, so that the deadline reaches it
        prefix = await source.recv_data(_PREFIX.size)
        if not prefix:
            return None
        compressed, length = _PREFIX.unpack(prefix)
        if compressed or length > MAX_MESSAGE:
            raise MessageTooLarge(f"the kernel daemon answered {length} bytes; the most we read is {MAX_MESSAGE}")
        return await source.recv_data(length)
