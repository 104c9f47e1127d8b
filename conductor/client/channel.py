"""Calls over the agent's socket: deadlines on all, errors of ours only."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, TypeVar

from grpclib.client import Channel, Stream
from grpclib.const import Cardinality
from grpclib.exceptions import GRPCError, ProtocolError, StreamTerminatedError

from conductor.api.codec import Codec
from conductor.api.status import REASON
from conductor.client.refusals import error_of
from conductor.errors import AgentUnreachable, Code, ConductorError, DeadlineExceeded, NotAllowed
from conductor.proto.grpc.health import v1 as health

__all__ = ["AgentChannel"]

PATIENCE_SECONDS = 8.0
"""Until an agent that takes a connection and says nothing counts as unreachable: a loaded one is late by less."""
LAST_LOOK_SECONDS = 1.0
"""The same for one that left a call unanswered until its deadline."""

R = TypeVar("R")


class AgentChannel:
    """One connection to an agent, made again when it was lost."""

    def __init__(self, *, socket: Path, patience: float = PATIENCE_SECONDS) -> None:
        self._socket, self._patience = socket, patience
        self._channel = Channel(path=str(socket), codec=Codec())

    async def connect(self) -> None:
        """Connect and hear something, to fail now. Raises `AgentUnreachable`, `NotAllowed`."""
        with self._translated(None):
            await self._channel.__connect__()
        await self._greet(self._patience)

    def close(self) -> None:
        """Close the connection; what the agent does not read any more is not waited for."""
        protocol = self._channel._protocol  # noqa: SLF001 -- grpclib has no way to abort
        transport = getattr(protocol.connection, "_transport", None) if protocol else None
        self._channel.close()
        if transport is not None and transport.get_write_buffer_size():
            transport.abort()

    async def unary(self, method: str, request: Any, reply: type[R], timeout: float) -> R:
        """Ask once, answer once. Raises what the agent raised, `DeadlineExceeded`, `AgentUnreachable`."""
        stream = self._request(method, Cardinality.UNARY_UNARY, type(request), reply, timeout)
        async with self._answered(stream), stream:
            await stream.send_message(request, end=True)
            return _there(await stream.recv_message())

    async def server_stream(
        self, method: str, request: Any, reply: type[R], timeout: float | None
    ) -> AsyncGenerator[R, None]:
        """Ask once, answer until either side ends it."""
        stream = self._request(method, Cardinality.UNARY_STREAM, type(request), reply, timeout)
        with self._translated(stream):
            async with stream:
                await stream.send_message(request, end=True)
                async for message in stream:
                    yield message

    async def client_stream(
        self, method: str, requests: AsyncIterable[Any], request: type, reply: type[R], timeout: float
    ) -> R:
        """Ask in many messages, answer once."""
        stream = self._request(method, Cardinality.STREAM_UNARY, request, reply, timeout)
        async with self._answered(stream), stream:
            await stream.send_request()
            async for message in requests:
                await stream.send_message(message)
            await stream.end()
            return _there(await stream.recv_message())

    def _request(
        self, method: str, cardinality: Cardinality, request: type, reply: type[R], timeout: float | None
    ) -> Stream[Any, R]:
        path = f"/agent.v1.agent/{method}"
        return self._channel.request(path, cardinality, request, reply, timeout=timeout)

    @asynccontextmanager
    async def _answered(self, stream: Stream[Any, Any]) -> AsyncIterator[None]:
        """Tell an agent that works on when the deadline has come from one that does nothing at all."""
        try:
            with self._translated(stream):
                yield
        except _NoAnswer as late:
            await self._greet(LAST_LOOK_SECONDS)
            raise DeadlineExceeded(str(late)) from None

    async def _greet(self, seconds: float) -> None:
        """Wait for any word of the agent: a stopped process takes connections too. Raises `AgentUnreachable`."""
        path, kinds = "/grpc.health.v1.Health/Check", (health.HealthCheckRequest, health.HealthCheckResponse)
        stream = self._channel.request(path, Cardinality.UNARY_UNARY, *kinds, timeout=seconds)
        try:
            with self._translated(stream):
                async with stream:
                    await stream.send_message(health.HealthCheckRequest(), end=True)
                    await stream.recv_message()
        except _NoAnswer:
            raise AgentUnreachable(
                f"the agent at {self._socket} takes connections and says nothing for {seconds:g} s: "
                "it is stopped (kill -CONT lets it go on) or overloaded; see its log, or start it anew"
            ) from None
        except AgentUnreachable:
            raise
        except ConductorError:
            return  # a refusal is a word, too

    @contextmanager
    def _translated(self, stream: Stream[Any, Any] | None) -> Iterator[None]:
        """Turn what grpclib and the system raise into errors of ours."""
        try:
            yield
        except GRPCError as error:
            raise error_of(Code(error.status.value), _reason(stream), error.message or error.status.name) from None
        except TimeoutError:
            raise _NoAnswer("the agent did not answer in time; what was asked may go on: look with Get") from None
        except PermissionError as error:
            raise NotAllowed(f"{self._socket}: {error.strerror}; join the agent's group or be root") from error
        except (FileNotFoundError, ConnectionRefusedError) as error:
            raise AgentUnreachable(f"no agent answers at {self._socket}: start one with `conductor up`") from error
        except (StreamTerminatedError, ProtocolError, OSError, AttributeError) as error:
            # AttributeError: grpclib's channel lost its transport under a call
            raise AgentUnreachable(
                f"the connection to {self._socket} was lost: {error}; look before repeating"
            ) from error


class _NoAnswer(DeadlineExceeded):
    """Our own clock ended a call: no status came."""


def _there(message: R | None) -> R:
    if message is None:
        raise ProtocolError("it ended without an answer")
    return message


def _reason(stream: Stream[Any, Any] | None) -> str:
    """Reason of a refusal; one that came before all was sent is known to the HTTP/2 stream alone."""
    if stream is None:
        return ""
    if stream.trailing_metadata is not None:
        return str(stream.trailing_metadata.get(REASON, ""))
    raw = stream._stream  # noqa: SLF001 -- see above
    return str(dict([*(raw.headers or ()), *(raw.trailers or ())]).get(REASON, ""))
