"""Whatever comes in at the socket: a status goes out, the daemon lives, nothing is left behind."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from grpclib.client import Channel
from grpclib.const import Cardinality, Status
from grpclib.encoding.base import CodecBase
from grpclib.exceptions import GRPCError, ProtocolError, StreamTerminatedError
from h2.exceptions import StreamClosedError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typing_extensions import override

from conductor.proto.bpfman import v1 as pb
from tests.loader.running import Client, Daemon

pytestmark = pytest.mark.kernel
QUICK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
RPCS = ("Load", "Unload", "Attach", "Detach", "List", "Get", "PullBytecode")
SANE = {
    Status.INVALID_ARGUMENT,
    Status.NOT_FOUND,
    Status.FAILED_PRECONDITION,
    Status.UNIMPLEMENTED,
    Status.RESOURCE_EXHAUSTED,
}
LOAD = bytes(
    pb.LoadRequest(
        bytecode=pb.BytecodeLocation(file="/nonexistent.o"),
        metadata={"a": "b"},
        global_data={"g": b"\0"},
        info=[pb.LoadInfo(name="f", program_type=pb.BpfmanProgramType(2))],
    )
)


class Raw(CodecBase):
    """Send bytes as they are."""

    __content_subtype__ = "proto"

    @override
    def encode(self, message: Any, message_type: Any) -> bytes:
        return bytes(message)

    @override
    def decode(self, data: bytes, message_type: Any) -> Any:
        return data


def ask(daemon: Daemon, path: str, data: bytes) -> Status:
    """Send one message to one path; answer the status."""

    async def talk() -> Status:
        channel = Channel(path=str(daemon.socket), codec=Raw())
        try:
            async with channel.request(path, Cardinality.UNARY_UNARY, bytes, bytes, timeout=20) as stream:
                await stream.send_message(data, end=True)
                await stream.recv_message()
                await stream.recv_trailing_metadata()
        except GRPCError as error:
            return error.status
        finally:
            channel.close()
        return Status.OK

    return asyncio.run(talk())


def lives(daemon: Daemon) -> None:
    assert daemon.ask(lambda client: client.list()) == []
    assert "Traceback" not in daemon.log


@QUICK
@given(rpc=st.sampled_from(RPCS), data=st.binary(max_size=60))
def test_random_messages(empty: Daemon, rpc: str, data: bytes) -> None:
    status = ask(empty, f"/bpfman.v1.Bpfman/{rpc}", data)
    assert status in SANE or (rpc == "List" and status is Status.OK)
    lives(empty)


@QUICK
@given(junk=st.binary(max_size=8), at=st.integers(0, len(LOAD)), drop=st.integers(0, 8))
def test_damaged_loads(empty: Daemon, junk: bytes, at: int, drop: int) -> None:
    assert ask(empty, "/bpfman.v1.Bpfman/Load", LOAD[:at] + junk + LOAD[at + drop :]) in SANE
    lives(empty)


@pytest.mark.parametrize("length", [1, 5, 12, len(LOAD) - 1])
def test_loads_cut_short_are_invalid(empty: Daemon, length: int) -> None:
    assert ask(empty, "/bpfman.v1.Bpfman/Load", LOAD[:length]) is Status.INVALID_ARGUMENT


TEXT = st.text(max_size=30)


LOADS = st.fixed_dictionaries(
    {
        "metadata": st.dictionaries(TEXT, TEXT, max_size=4),
        "global_data": st.dictionaries(TEXT, st.binary(max_size=8), max_size=2),
        "map_owner_id": st.none() | st.integers(0, 2**32 - 1),
    }
)


@QUICK
@given(name=TEXT, fields=LOADS)
def test_hostile_values_in_whole_messages(
    empty: Daemon, compiled: Callable[[str], Path], name: str, fields: dict[str, Any]
) -> None:
    async def load(client: Client) -> None:
        with pytest.raises(GRPCError) as caught:
            await client.load(compiled("counters"), (name, 2), **fields)
        assert caught.value.status in SANE

    empty.ask(load)
    lives(empty)


def test_metadata_of_any_text_comes_back(empty: Daemon, compiled: Callable[[str], Path]) -> None:
    metadata = {"": "x", "y": "", "ä\n\t\"'": "\0\U0001f41d", "../../x": "%s{}"}

    async def load(client: Client) -> None:
        (loaded,) = await client.load(compiled("counters"), ("on_enter", 2), metadata=metadata)
        assert (await client.info(loaded.kernel_info.id)).metadata == metadata
        assert len(await client.list(match_metadata=metadata)) == 1

    empty.ask(load)
    empty.restart()
    (listed,) = empty.ask(lambda client: client.list(match_metadata=metadata))
    assert listed.info is not None
    assert listed.info.metadata == metadata


@QUICK
@given(data=st.binary(min_size=1, max_size=300), greet=st.booleans())
def test_what_is_no_http2_at_all(empty: Daemon, data: bytes, greet: bool) -> None:
    with socket.socket(socket.AF_UNIX) as peer:
        peer.connect(str(empty.socket))
        peer.sendall((b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" if greet else b"") + data)
    lives(empty)


def announced(daemon: Daemon, length: int, flag: int = 0) -> tuple[Status, int]:
    """Announce a message of `length` bytes and send until told otherwise; answer status and bytes sent."""

    async def talk() -> tuple[Status, int]:
        channel, sent = Channel(path=str(daemon.socket), codec=Raw()), 0
        path = "/bpfman.v1.Bpfman/Load"
        with suppress(GRPCError, ProtocolError, StreamTerminatedError, StreamClosedError):
            async with channel.request(path, Cardinality.UNARY_UNARY, bytes, bytes, timeout=20) as stream:
                await stream.send_request()
                http2 = stream._stream
                with suppress(StreamClosedError, TimeoutError):
                    await http2.send_data(struct.pack(">BI", flag, length))
                    while sent < length and not http2.trailers_received.is_set():
                        async with asyncio.timeout(2):
                            await http2.send_data(bytes(16_384))
                        sent += 16_384
                await http2.recv_trailers()
        channel.close()
        assert http2.trailers is not None
        return Status(int(dict(http2.trailers)["grpc-status"])), sent

    return asyncio.run(talk())


def test_messages_past_4_mib_are_refused_before_they_are_taken_in(empty: Daemon) -> None:
    status, sent = announced(empty, 2**32 - 1)
    assert status is Status.RESOURCE_EXHAUSTED
    assert sent < 8 << 20
    lives(empty)


def test_compressed_messages_are_refused(empty: Daemon) -> None:
    assert announced(empty, 10, flag=1)[0] is Status.UNIMPLEMENTED
