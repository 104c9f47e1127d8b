"""A client of another make: Google's gRPC, and the bytes that a Go client writes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.loader.running import Daemon

grpc = pytest.importorskip("grpc", reason="needs grpcio (of the dev group)")
pytestmark = pytest.mark.kernel


def field(number: int, value: bytes) -> bytes:
    """Write a delimited field by hand."""
    assert len(value) < 16384
    length = bytes([len(value)]) if len(value) < 128 else bytes([len(value) & 127 | 128, len(value) >> 7])
    return bytes([number << 3 | 2]) + length + value


def test_grpcio_loads_lists_and_is_refused(empty: Daemon, compiled: Callable[[str], Path]) -> None:
    with grpc.insecure_channel(f"unix:{empty.socket}") as channel:

        def call(rpc: str, data: bytes) -> bytes:
            answer: bytes = channel.unary_unary(f"/bpfman.v1.Bpfman/{rpc}")(data, timeout=20)
            return answer

        path = field(1, field(3, str(compiled("counters")).encode()))
        program = field(9, field(1, b"on_enter") + b"\x10\x02")
        owner = b"\x2a\x0c\x0a\x05owner\x12\x03exp"
        loaded = call("Load", path + owner + program)
        listed = call("List", bytes.fromhex("10011a0c0a056f776e65721203657870"))
        assert loaded[0] == 0x0A
        assert listed[0] == 0x1A
        assert loaded[1:] == listed[1:]
        with pytest.raises(grpc.RpcError) as caught:
            call("Get", b"")
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND
        assert "x-ebpfconductor-loader" in dict(caught.value.initial_metadata())
        with pytest.raises(grpc.RpcError) as caught:
            call("Nothing", b"")
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
