"""The door: who may call, how much may come in, and how errors go out. One wrapper around every handler."""

from __future__ import annotations

import asyncio
import logging
import re
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from grpclib.const import Cardinality, Handler, Status
from grpclib.events import SendTrailingMetadata
from grpclib.exceptions import GRPCError

from conductor import __version__
from conductor.errors import ConductorError, DeadlineExceeded, InvalidSpec, MessageTooLarge, NotAllowed, NotYet
from conductor.model.protobuf import check

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from grpclib.server import Stream

__all__ = ["LARGEST", "Door", "explain", "may_call"]

log = logging.getLogger(__name__)
LARGEST = 4 << 20
"""Bytes of a message; more than these are never buffered."""
_PATIENCE = 30.0
"""Seconds that a request may take to come in."""
_SENTENCE = 2_000
"""Characters of a status message: clients refuse headers past 8 KiB, and a character may take 12 there."""
_reason: ContextVar[str] = ContextVar("reason", default="")
_SO_PEERGROUPS = 59
_PEER = struct.Struct("3i")


class Door:
    """One service behind the door; give it to `grpclib.server.Server`."""

    def __init__(self, *, service: Any, group: int) -> None:
        self._service, self._group = service, group

    def __mapping__(self) -> Mapping[str, Handler]:
        """Return the service's handlers, each behind the door."""
        return {
            path: Handler(self._guarded(path, handler), handler.cardinality, handler.request_type, handler.reply_type)
            for path, handler in self._service.__mapping__().items()
        }

    def _guarded(self, path: str, handler: Handler) -> Callable[[Stream[Any, Any]], Awaitable[None]]:
        method = getattr(self._service, re.sub(r"(?<!^)(?=[A-Z])", "_", path.rpartition("/")[2]).lower())
        streaming = handler.cardinality is not Cardinality.UNARY_UNARY

        async def call(stream: Stream[Any, Any]) -> None:
            async with _translated(path):
                # Sent first, so that refusals carry it too: clients tell by it who stands here.
                await stream.send_initial_metadata(metadata={"x-ebpfconductor-loader": __version__})
                self._admit(stream)
                request = await _received(stream, handler.request_type)
                if streaming:
                    async for reply in method(request):
                        await stream.send_message(reply)
                else:
                    await stream.send_message(await method(request))

        return call

    def _admit(self, stream: Stream[Any, Any]) -> None:
        # grpclib keeps the connection's socket to itself.
        peer: socket.socket = stream.peer._transport.get_extra_info("socket")  # noqa: SLF001
        if not may_call(peer, self._group):
            raise NotAllowed("only root and members of the loader's group may call; join it or use another user")


def may_call(peer: socket.socket, group: int) -> bool:
    """Whether the process at the other end is root or in `group`, by what the kernel kept when it connected."""
    _, uid, gid = _PEER.unpack(peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))
    if uid == 0 or gid == group:
        return True
    try:
        # Python reads at most 1024 bytes of an option; who is in more than 256 groups is not let in by them.
        raw = peer.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, 1024)
    except OSError:
        return False
    return group in struct.unpack(f"{len(raw) // 4}I", raw)


async def _received(stream: Stream[Any, Any], message: type[Any]) -> Any:
    """Read the one request: its length is judged before its bytes are taken in."""
    source = stream._stream  # noqa: SLF001 -- grpclib's own recv_message buffers whatever is announced
    try:
        async with asyncio.timeout(_PATIENCE):
            head = await source.recv_data(5)
            if not head:
                raise InvalidSpec("message", "none was sent")
            compressed, length = struct.unpack(">?I", head)
            if compressed:
                raise NotYet("compressed messages are not understood; send them plain")
            if length > LARGEST:
                raise MessageTooLarge(f"a message of {length} bytes; at most {LARGEST} are taken")
            data = await source.recv_data(length)
    except TimeoutError:
        raise DeadlineExceeded(f"the request did not come in within {_PATIENCE:g} s") from None
    except AssertionError:
        raise InvalidSpec("message", "cut short") from None
    if len(data) != length:
        raise InvalidSpec("message", "cut short")
    return _parsed(data, message)


def _parsed(data: bytes, message: type[Any]) -> Any:
    check(data, message)
    try:
        return message().parse(data)
    except Exception as error:
        # What the check lets through and the parser does not understand is the sender's fault all the same.
        raise InvalidSpec("message", f"not understood: {type(error).__name__}") from error


@asynccontextmanager
async def _translated(path: str) -> AsyncIterator[None]:
    """Let our errors out as statuses, and anything else as INTERNAL after it was logged."""
    try:
        yield
    except ConductorError as error:
        sentence = str(error)
        if len(sentence) > _SENTENCE:
            sentence = sentence[: _SENTENCE - 1] + "…"
        _reason.set(error.reason)
        raise GRPCError(Status(error.code.value), sentence) from error
    except GRPCError:
        raise
    except Exception as error:
        log.exception("%s failed", path)
        raise GRPCError(Status.INTERNAL, f"{type(error).__name__} in the loader; its log has the trace") from error


async def explain(event: SendTrailingMetadata) -> None:
    """Name the refusal's class in the `reason` trailer: one status code stands for several."""
    if event.status is not Status.OK and _reason.get():
        event.metadata["reason"] = _reason.get()
