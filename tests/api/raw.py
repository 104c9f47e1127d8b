"""A gRPC client made of nothing but h2 and bytes: it sends what it is told, whole or not, and shows what came back."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from grpclib.const import Status
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)

__all__ = ["Answer", "Raw", "ask", "framed", "record", "talking", "text"]


@dataclass
class Answer:
    """What a server said on one stream."""

    headers: dict[str, str] = field(default_factory=dict)
    data: bytearray = field(default_factory=bytearray)
    ended: bool = False

    @property
    def status(self) -> Status | None:
        """gRPC status; None when none came."""
        return Status(int(self.headers["grpc-status"])) if "grpc-status" in self.headers else None

    @property
    def message(self) -> str:
        return unquote(self.headers.get("grpc-message", ""))

    @property
    def reason(self) -> str:
        return self.headers.get("x-conductor-reason", "")

    @property
    def body(self) -> bytes:
        """First message, without its prefix."""
        return bytes(self.data[5:])


class Raw:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.h2 = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
        self._reader, self._writer = reader, writer
        self._answers: dict[int, Answer] = {}
        self.closed = False
        self.h2.initiate_connection()
        self.flush()

    def flush(self) -> None:
        self._writer.write(self.h2.data_to_send())

    def begin(self, method: str, headers: Sequence[tuple[str, str]] = ()) -> int:
        """Open a stream; `headers` replace or add to the usual ones."""
        usual = {
            ":method": "POST",
            ":scheme": "http",
            ":path": f"/agent.v1.agent/{method}",
            ":authority": "localhost",
            "te": "trailers",
            "content-type": "application/grpc",
        }
        stream: int = self.h2.get_next_available_stream_id()
        self.h2.send_headers(stream, [*(usual | dict(headers)).items()])
        self._answers[stream] = Answer()
        self.flush()
        return stream

    def send(self, stream: int, data: bytes, *, end: bool = False) -> None:
        """Send as much as the window allows, in frames."""
        size = self.h2.max_outbound_frame_size
        for start in range(0, max(len(data), 1), size):
            chunk = data[start : start + size]
            self.h2.send_data(stream, chunk, end_stream=end and start + size >= len(data))
        self.flush()

    def raw(self, data: bytes) -> None:
        """Send bytes past h2."""
        self._writer.write(data)

    async def answer(self, stream: int) -> Answer:
        """Read until the stream or the connection ends."""
        while not self._answers[stream].ended and not self.closed:
            data = await self._reader.read(1 << 16)
            if not data:
                self.closed = True
            for event in self.h2.receive_data(data):
                self._take(event)
            self.flush()
        return self._answers[stream]

    def _take(self, event: Event) -> None:
        match event:
            case ResponseReceived() | TrailersReceived():
                self._answers[event.stream_id].headers |= dict(event.headers)  # type: ignore[arg-type]
            case DataReceived():
                self._answers[event.stream_id].data += event.data
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            case StreamEnded() | StreamReset():
                self._answers[event.stream_id].ended = True
            case ConnectionTerminated():
                self.closed = True
            case _:
                pass


@asynccontextmanager
async def talking(to: Path | socket.socket) -> AsyncIterator[Raw]:
    """Connect to a path, or speak over a socket that is connected already."""
    where: dict[str, Any] = {"path": str(to)} if isinstance(to, Path) else {"sock": to}
    reader, writer = await asyncio.open_unix_connection(**where)
    try:
        yield Raw(reader, writer)
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


async def ask(path: Path, method: str, data: bytes, headers: Sequence[tuple[str, str]] = ()) -> Answer:
    """Send one stream's bytes over a connection of their own and answer what came."""
    async with asyncio.timeout(10), talking(path) as raw:
        stream = raw.begin(method, headers)
        raw.send(stream, data, end=True)
        return await raw.answer(stream)


def framed(message: bytes) -> bytes:
    """Put gRPC's prefix before a message."""
    return b"\0" + len(message).to_bytes(4, "big") + message


def record(number: int, data: bytes) -> bytes:
    """Encode a delimited field (below 128 bytes, number below 16)."""
    return bytes([number << 3 | 2, len(data)]) + data


def text(number: int, value: str) -> bytes:
    """Encode a string field."""
    return record(number, value.encode())
