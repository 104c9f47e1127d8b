"""Unary calls on one connection: a deadline for each, and for each failure whether the request had left us.

grpclib cancels the task it runs in when a deadline passes or the connection ends, without telling asyncio's own
bookkeeping; so each call runs in a task of its own, and its result is a value.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import h2.exceptions
from betterproto import Message
from grpclib.client import Stream
from grpclib.const import Cardinality, Status
from grpclib.exceptions import GRPCError, ProtocolError, StreamTerminatedError

from conductor.bpfman.channel import OneConnection, receive
from conductor.errors import AnswerLost, Code, ConductorError, KernelAway, KernelRefused, NotAllowed

__all__ = ["Answer", "Method", "exchange"]

Reply = TypeVar("Reply")
_GONE = (OSError, StreamTerminatedError, ProtocolError, h2.exceptions.ProtocolError, AssertionError)


@dataclass(frozen=True, slots=True)
class Method(Generic[Reply]):
    """A call of a service: its path, the type of its answer, its deadline, whether it changes anything."""

    path: str
    reply: type[Reply]
    seconds: float
    changes: bool = False

    @property
    def name(self) -> str:
        """Last part of the path, for messages."""
        return self.path.rpartition("/")[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer(Generic[Reply]):
    """What came back: a message, or a code other than 0 with its words."""

    message: Reply | None = None
    code: Code | None = None
    text: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)


async def exchange(channel: OneConnection, method: Method[Reply], request: Message) -> Answer[Reply]:
    """Send one request and wait for its answer.

    Raises `KernelAway` when the request did not leave us (or changes nothing), `AnswerLost` when it may have been
    carried out, `NotAllowed` when the socket is closed to us, `MessageTooLarge`.
    """
    async with asyncio.TaskGroup() as group:
        task = group.create_task(_outcome(channel, method, request), name=f"bpfman {method.name}")
    result = task.result()
    if isinstance(result, ConductorError):
        raise result
    return result


async def _outcome(channel: OneConnection, method: Method[Reply], request: Message) -> Answer[Reply] | ConductorError:
    call = _Call(method)
    try:
        return await call.run(channel, request)
    except ConductorError as error:
        return error
    except GRPCError as error:
        if _is_no_answer(error):
            # The Rust daemon ends a call so when its deadline passes; what was begun goes on there.
            return call.failed(f"the kernel daemon gave {method.name} up")
        return Answer(code=Code(error.status.value), text=error.message or "", metadata=call.metadata())
    except PermissionError:
        return NotAllowed(f"the socket {channel.socket} is closed to this user: give the agent its group by --groups")
    except TimeoutError:
        return call.failed(f"the kernel daemon did not answer {method.name} within {method.seconds:g} s")
    except _GONE as error:
        return call.failed(f"the connection to the kernel daemon ended: {error}")
    except AttributeError as error:
        if error.name != "_transport":
            raise
        # grpclib takes that from a connection which ended, and who was about to use it meets its absence.
        return call.failed("the connection to the kernel daemon ended before it was used")


def _is_no_answer(error: GRPCError) -> bool:
    """Whether grpclib made the status up, for what came back was no gRPC."""
    return error.status is Status.UNKNOWN and (error.message or "").endswith("content-type header")


class _Call(Generic[Reply]):
    """One call under way; remembers how far it got."""

    def __init__(self, method: Method[Reply]) -> None:
        self._method = method
        self._stream: Stream[Any, Any] | None = None
        self._sent = False

    async def run(self, channel: OneConnection, request: Message) -> Answer[Reply]:
        method = self._method
        async with channel.request(
            method.path, Cardinality.UNARY_UNARY, type(request), method.reply, timeout=method.seconds
        ) as stream:
            self._stream = stream
            await stream.send_request()
            self._sent = True
            await stream.send_message(request, end=True)
            data = await receive(stream)
            await stream.recv_trailing_metadata()
        return Answer(message=self._parse(data), metadata=self.metadata())

    def _parse(self, data: bytes | None) -> Reply:
        if data is None:
            raise KernelRefused(f"the kernel daemon answered {self._method.name} without a message")
        message: Any = self._method.reply()
        try:
            parsed: Reply = message.parse(data)
        except Exception as error:
            raise KernelRefused(
                f"the kernel daemon answered {self._method.name} with no message of bpfman's"
            ) from error
        return parsed

    def metadata(self) -> dict[str, str]:
        """Text metadata of the answer, trailing over initial."""
        if self._stream is None:
            return {}
        parts = (self._stream.initial_metadata, self._stream.trailing_metadata)
        return {key: value for part in parts if part for key, value in part.items() if isinstance(value, str)}

    def failed(self, what: str) -> ConductorError:
        if self._sent and self._method.changes:
            return AnswerLost(f"{self._method.name}: {what}; it may have been carried out")
        return KernelAway(what)
