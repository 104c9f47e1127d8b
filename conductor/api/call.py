"""One call on the server: bounded messages in, bounded waits out, one status at the end."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

from grpclib.const import Status
from grpclib.server import Stream
from h2.exceptions import ProtocolError
from typing_extensions import override

from conductor.api.codec import MAX_MESSAGE
from conductor.api.status import Refusal
from conductor.errors import BudgetExceeded, DeadlineExceeded, InvalidSpec, MessageTooLarge, NotYet

__all__ = ["Call"]

FINISH_SECONDS = 5.0


class Call(Stream[Any, Any]):
    """A request on its stream. grpclib's own would buffer 4 GiB in silence and name every slip UNKNOWN."""

    def __init__(self, *args: Any, patience: float, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._patience = patience

    @override
    async def recv_message(self) -> Any:
        """Receive a message; None at the end of a client's stream.

        Raises `MessageTooLarge` as soon as the length says so, `InvalidSpec` for what is cut short or missing.
        """
        try:
            async with asyncio.timeout(self._patience):
                data = await self._receive()
        except TimeoutError:
            raise DeadlineExceeded(f"no whole message came within {self._patience:g} s") from None
        if data is not None:
            return self._codec.decode(data, self._recv_type)
        if not self._cardinality.client_streaming:
            raise InvalidSpec("message", "missing: the stream ended without one")
        return None

    @override
    async def send_message(self, message: Any) -> None:
        """Send a message. Raises `BudgetExceeded` when the caller does not read it."""
        try:
            async with asyncio.timeout(self._patience):
                await super().send_message(message)
        except TimeoutError:
            raise BudgetExceeded(f"the caller read nothing for {self._patience:g} s: call again, read faster") from None

    async def finish(self, refusal: Refusal | None) -> None:
        """Send the status, unless the caller is gone or does not even take that."""
        status, message, trailers = Status.OK, None, None
        if refusal is not None:
            status, message, trailers = refusal.status, refusal.message, refusal.trailers
        with suppress(TimeoutError, ProtocolError):
            async with asyncio.timeout(FINISH_SECONDS):
                await self.send_trailing_metadata(status=status, status_message=message, metadata=trailers)

    async def _receive(self) -> bytes | None:
        prefix = await self._read(5)
        if not prefix:
            return None
        size = int.from_bytes(prefix[1:], "big")
        if prefix[0] == 1:
            raise NotYet("compressed messages are not read: send them plain")
        if prefix[0]:
            raise InvalidSpec("message", f"begins with {prefix[0]}, which is no gRPC flag")
        if size > MAX_MESSAGE:
            raise MessageTooLarge(f"a message of {size} bytes: at most {MAX_MESSAGE >> 20} MiB at once")
        data = await self._read(size)
        if len(data) < size:
            raise InvalidSpec("message", f"cut short: {size} bytes announced, the stream ended before them")
        return data

    async def _read(self, size: int) -> bytes:
        try:
            return await self._stream.recv_data(size)
        except AssertionError:  # grpclib's word for an end in mid-message
            raise InvalidSpec("message", "cut short: the stream ended within it") from None
