"""One connection of one caller: HTTP/2 from grpclib, with what a public door needs around it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol

from grpclib.config import Configuration
from grpclib.protocol import AbstractHandler, H2Protocol, Stream
from h2.config import H2Configuration
from h2.events import DataReceived, UnknownFrameReceived
from h2.exceptions import H2Error
from typing_extensions import override

from conductor.api.peer import Caller, caller_of

__all__ = ["Connection", "Door", "Headers"]

Headers = list[tuple[str, str]]

_CONFIG = Configuration(http2_connection_window_size=4 << 20, http2_stream_window_size=1 << 20).__for_server__()
_H2 = H2Configuration(
    client_side=False,
    header_encoding="latin-1",  # every byte is a character: odd headers are refused by their calls, not by a crash
    validate_inbound_headers=False,
    validate_outbound_headers=False,
    normalize_inbound_headers=False,
    normalize_outbound_headers=False,
)

log = logging.getLogger(__name__)


class Door(Protocol):
    """What a connection asks of the server it came to."""

    def admit(self, connection: Connection, caller: Caller) -> bool:
        """Whether there is room for one more connection."""
        ...

    def leave(self, connection: Connection) -> None:
        """Forget a connection."""
        ...

    def call(self, caller: Caller, stream: Stream, headers: Headers, release: Callable[[], Any]) -> asyncio.Task[None]:
        """Begin a call."""
        ...


class _Calls(AbstractHandler):
    """The calls of one connection."""

    def __init__(self, *, door: Door) -> None:
        self._door = door
        self._tasks: dict[Stream, asyncio.Task[None]] = {}
        self.caller: Caller | None = None

    @override
    def accept(self, stream: Stream, headers: Headers, release_stream: Callable[[], Any]) -> None:
        assert self.caller is not None
        task = self._door.call(self.caller, stream, headers, release_stream)
        self._tasks[stream] = task
        task.add_done_callback(lambda _: self._tasks.pop(stream, None))

    @override
    def cancel(self, stream: Stream) -> None:
        task = self._tasks.get(stream)
        if task is not None:
            task.cancel()

    @override
    def close(self) -> None:
        for task in self._tasks.values():
            task.cancel()


class Connection(H2Protocol):
    """HTTP/2 with one caller."""

    def __init__(self, *, door: Door) -> None:
        self._door, self._calls = door, _Calls(door=door)
        super().__init__(self._calls, _CONFIG, _H2)

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        caller = self._calls.caller = caller_of(transport.get_extra_info("socket"))
        super().connection_made(transport)
        if not self._door.admit(self, caller):
            self.end()
            return
        receive = self.processor.process_data_received
        # An empty DATA frame is no end of stream, and frames of unknown types are to be ignored (RFC 9113, 5.5 and 6.1).
        self.processor.processors[DataReceived] = lambda event: receive(event) if event.flow_controlled_length else None
        self.processor.processors[UnknownFrameReceived] = lambda _: None

    @override
    def data_received(self, data: bytes) -> None:
        try:
            super().data_received(data)
        except Exception as error:  # noqa: BLE001 -- whatever grpclib trips over ends this connection, not the server
            log.warning("a connection of %s was ended: %r", self._calls.caller, error)
            self.processor.close("broken HTTP/2")

    @override
    def connection_lost(self, exc: BaseException | None) -> None:
        self._door.leave(self)
        super().connection_lost(exc)

    def end(self) -> None:
        """Say good-bye (GOAWAY) and close; what was written before still goes out."""
        with suppress(H2Error, AttributeError):  # AttributeError: grpclib has let go of the transport already
            self.connection._connection.close_connection()  # noqa: SLF001 -- grpclib has no way to say GOAWAY
            self.connection.flush()
        self.processor.close("the agent is stopping")
