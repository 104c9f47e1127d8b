"""The gRPC door: socket, limits, peer check, one wrapper around all handlers, an end in order."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

from grpclib.const import Cardinality, Handler, Status
from grpclib.events import _DispatchServerEvents
from grpclib.metadata import Deadline
from grpclib.protocol import Stream
from h2.exceptions import H2Error

from conductor.api.call import Call
from conductor.api.codec import Codec
from conductor.api.connection import Connection, Headers
from conductor.api.counts import CallCounts
from conductor.api.listener import listening
from conductor.api.peer import Caller, Gate, permission_of
from conductor.api.scope import task_group
from conductor.api.status import Refusal, status_of
from conductor.errors import AgentStopping, BudgetExceeded, InvalidSpec, NotYet

__all__ = ["GrpcServer", "Service"]

MAX_CONNECTIONS = 128
MAX_CONNECTIONS_OF_ONE = 64
"""Of one user that is neither root nor the agent's own."""
MAX_CONNECTIONS_OF_STRANGERS = 8
"""Of all together who may do nothing here: where the socket is open to all, they must not shut others out."""
MAX_CALLS = 512
UNARY_SECONDS = 600.0
"""Deadline of a call that brings none; streams have none."""
STOP_SECONDS = 5.0
PATIENCE_SECONDS = 30.0
"""Longest wait for a caller to send or read one message."""
_ANSWER_SECONDS = 0.05
"""Kept from a caller's deadline, so that our sentence arrives before it gives up."""

log = logging.getLogger(__name__)


class Service(Protocol):
    """A generated service."""

    def __mapping__(self) -> Mapping[str, Handler]: ...


class GrpcServer:
    """Own the agent's socket, its connections and the calls on them."""

    def __init__(self, *, services: Collection[Service], gate: Gate, patience: float = PATIENCE_SECONDS) -> None:
        self.counts = CallCounts()
        self._patience = patience
        self._methods = {path: handler for service in services for path, handler in service.__mapping__().items()}
        self._gate, self._codec, self._dispatch = gate, Codec(), _DispatchServerEvents()
        self._connections: dict[Connection, Caller] = {}
        self._calls: dict[asyncio.Task[None], bool] = {}
        self._stopping = False
        self._group: asyncio.TaskGroup | None = None

    @classmethod
    @asynccontextmanager
    async def serving(
        cls,
        *,
        path: Path,
        services: Collection[Service],
        gate: Gate,
        stop_seconds: float = STOP_SECONDS,
        patience: float = PATIENCE_SECONDS,
    ) -> AsyncIterator[GrpcServer]:
        """Serve until the scope ends; then streams are told, running calls have `stop_seconds` to answer.

        A caller that sends or reads nothing for `patience` seconds in the middle of a message is refused.
        With one group to let in the socket is 0660 and that group's; with two, anyone may connect and the peer
        check decides. Raises `AddressInUse`, `NotAllowed`, `StateUnwritable`.
        """
        self = cls(services=services, gate=gate, patience=patience)
        groups = {gate.read_group, gate.change_group} - {None}
        mode = 0o666 if len(groups) > 1 else 0o660
        with listening(path, mode=mode, group=next(iter(groups)) if len(groups) == 1 else None) as sock:
            async with task_group() as self._group:
                factory = lambda: Connection(door=self)  # noqa: E731 -- asyncio wants a factory
                listener = await asyncio.get_running_loop().create_unix_server(factory, sock=sock)
                try:
                    yield self
                finally:
                    listener.close()
                    await self._stop(stop_seconds)

    def admit(self, connection: Connection, caller: Caller) -> bool:
        """Whether there is room for one more connection of this caller."""
        if self._stopping or len(self._connections) >= MAX_CONNECTIONS or self._has_enough(caller):
            self.counts.connections_refused += 1
            return False
        self._connections[connection] = caller
        self.counts.connections = len(self._connections)
        return True

    def _has_enough(self, caller: Caller) -> bool:
        others = self._connections.values()
        if not self._gate.knows(caller):
            return sum(not self._gate.knows(other) for other in others) >= MAX_CONNECTIONS_OF_STRANGERS
        limit = MAX_CONNECTIONS if caller.uid in (0, self._gate.owner) else MAX_CONNECTIONS_OF_ONE
        return sum(other.uid == caller.uid for other in others) >= limit

    def leave(self, connection: Connection) -> None:
        """Forget a connection."""
        self._connections.pop(connection, None)
        self.counts.connections = len(self._connections)

    def call(self, caller: Caller, stream: Stream, headers: Headers, release: Callable[[], Any]) -> asyncio.Task[None]:
        """Begin a call as a task of its own."""
        assert self._group is not None
        path = dict(headers).get(":path", "")
        task = self._group.create_task(self._serve(caller, path, stream, headers, release), name=f"call {path[:80]}")
        handler = self._methods.get(path)
        self._calls[task] = handler is not None and handler.cardinality.server_streaming
        task.add_done_callback(self._calls.pop)
        return task

    async def _serve(
        self, caller: Caller, path: str, stream: Stream, headers: Headers, release: Callable[[], Any]
    ) -> None:
        """Serve one call from its headers to its status; nothing gets out of here but cancellation."""
        started, code = time.monotonic(), Status.CANCELLED
        self.counts.in_flight += 1
        try:
            code = await self._answer(caller, path, stream, headers)
        except Exception:
            log.exception("the status of a call of %s could not be sent", caller)
        finally:
            self.counts.in_flight -= 1
            method = path.rpartition("/")[2] if path in self._methods else "unknown"
            self.counts.add(method, code.name, time.monotonic() - started)
            with suppress(H2Error):
                release()

    async def _answer(self, caller: Caller, path: str, stream: Stream, headers: Headers) -> Status:
        problem = _http_problem(dict(headers))
        if problem:
            with suppress(H2Error):
                await stream.send_headers([(":status", problem)], end_stream=True)
            return Status.INVALID_ARGUMENT
        handler = self._methods.get(path, _NO_METHOD)
        call = Call(
            stream,
            path,
            handler.cardinality,
            handler.request_type,
            handler.reply_type,
            codec=self._codec,
            status_details_codec=None,
            dispatch=self._dispatch,
            patience=self._patience,
        )
        refusal = await self._run(caller, path, handler, call, headers)
        await call.finish(refusal)
        return refusal.status if refusal else Status.OK

    async def _run(self, caller: Caller, path: str, handler: Handler, call: Call, headers: Headers) -> Refusal | None:
        """Run a handler. The one place where exceptions become statuses."""
        try:
            seconds = _seconds_left(headers, handler)
            async with asyncio.timeout(seconds):
                if seconds == 0:
                    raise TimeoutError
                if len(self._calls) > MAX_CALLS:
                    raise BudgetExceeded(f"{MAX_CALLS} calls are running already: try again")
                self._gate.check(caller, permission_of(path))
                await handler.func(call)
        except asyncio.CancelledError:
            if not self._stopping or call._stream._transport.is_closing():  # noqa: SLF001 -- nobody is left to tell
                raise
            return status_of(AgentStopping("the agent is stopping: call again when it is back"))
        except Exception as exc:  # noqa: BLE001 -- status_of is total
            return status_of(exc)
        return None

    async def _stop(self, seconds: float) -> None:
        """End streams, let the rest answer for `seconds`, then end it too, and close the connections."""
        self._stopping = True
        _cancel(task for task, is_stream in self._calls.items() if is_stream)
        if self._calls:
            await asyncio.wait(tuple(self._calls), timeout=seconds)
        _cancel(self._calls)
        if self._calls:
            await asyncio.wait(tuple(self._calls), timeout=seconds)
        for connection in tuple(self._connections):
            connection.end()


def _cancel(tasks: Iterable[asyncio.Task[None]]) -> None:
    for task in tuple(tasks):
        task.cancel()


async def _no_method(call: Call) -> None:
    raise NotYet(f"{call._method_name[:200]} is no method of this agent")  # noqa: SLF001 -- grpclib keeps it there


_NO_METHOD = Handler(_no_method, Cardinality.UNARY_UNARY, None, None)


def _http_problem(headers: Mapping[str, str]) -> str:
    """HTTP status for what is not gRPC at all; empty for what is."""
    if headers.get(":method") != "POST":
        return "405"
    kind, _, subtype = headers.get("content-type", "").partition("+")
    return "" if kind == "application/grpc" and subtype in ("", "proto") else "415"


def _seconds_left(headers: Headers, handler: Handler) -> float | None:
    """Seconds until the caller's deadline, less what the answer takes; a default for calls that bring none."""
    try:
        deadline = Deadline.from_headers(headers)
    except ValueError:
        raise InvalidSpec("grpc-timeout", "must be digits and a unit, such as 5S") from None
    if deadline is not None:
        left = deadline.time_remaining()
        return max(left - _ANSWER_SECONDS, left * 0.8)
    return None if handler.cardinality.server_streaming else UNARY_SECONDS
