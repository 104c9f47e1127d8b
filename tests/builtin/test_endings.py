"""Byte truth of connections that begin or end in unusual ways."""

from __future__ import annotations

import socket
import struct
from pathlib import Path

import pytest

from tests.builtin.conftest import KernelHalf, Watch, rows
from tests.builtin.lan import Host, drain, join, talk
from tests.builtin.world import eventually

pytestmark = pytest.mark.kernel

Lan = tuple[Host, Host]


def test_half_close(watch: Watch, lan: Lan) -> None:
    left, right = lan
    with right.listen() as listener:
        link = join(left, listener, right.v4)
        client, server = rows(link.port)
        talk(link, 1000, 0)
        link.client.shutdown(socket.SHUT_WR)
        assert drain(link.server) == 0
        talk(link, 0, 900_000)
        link.server.close()
        assert drain(link.client) == 0
        link.client.close()
    watch.expect(client, sent=1000, received=900_000, opened=1, active=0)
    watch.expect(server, sent=900_000, received=1000, opened=1, active=0)


def test_reset_with_unread_data(watch: Watch, lan: Lan) -> None:
    left, right = lan
    with right.listen() as listener:
        link = join(left, listener, right.v4)
        client, server = rows(link.port)
        link.client.sendall(b"x" * 20_000)
        watch.expect(client, sent=20_000)
        drain(link.server, 5_000)
        link.server.close()  # 15,000 bytes unread: this end sends RST
        link.client.close()
    watch.expect(client, sent=20_000, received=0, opened=1, active=0)
    watch.expect(server, sent=0, received=20_000, opened=1, active=0)


def test_reset_before_anything_was_read(watch: Watch, lan: Lan) -> None:
    left, right = lan
    with right.listen() as listener:
        link = join(left, listener, right.v4)
        client, server = rows(link.port)
        link.client.sendall(b"x" * 1000)
        watch.expect(client, sent=1000)
        link.server.close()
        link.client.close()
    watch.expect(client, sent=1000, received=0, opened=1, active=0)
    watch.expect(server, sent=0, received=1000, opened=1, active=0)


def test_a_refused_connection_is_no_connection(watch: Watch, lan: Lan) -> None:
    left, right = lan
    with right.listen() as listener:
        port = listener.getsockname()[1]
    with left.endpoint() as end, pytest.raises(ConnectionRefusedError):
        end.connect((right.v4, port))
    assert not any(watch.seen(server_port=str(port), client_name="left").values())


def test_a_fast_open_carries_data_in_the_first_segment(watch: Watch, lan: Lan) -> None:
    left, right = lan
    for host in lan:
        with host.entered():
            Path("/proc/sys/net/ipv4/tcp_fastopen").write_text("1027")  # both ends, no cookie needed
    with right.listen() as listener:
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_FASTOPEN, 16)
        port = listener.getsockname()[1]
        with left.endpoint() as end:
            end.setblocking(True)
            assert end.sendto(b"x" * 500, socket.MSG_FASTOPEN, (right.v4, port)) == 500
            theirs, _ = listener.accept()
            with theirs:
                theirs.settimeout(5)
                theirs.sendall(b"y" * 300)
                assert drain(theirs, 500) == 500
                assert drain(end, 300) == 300
    client, server = rows(port)
    watch.expect(client, sent=500, received=300, opened=1, active=0)
    watch.expect(server, sent=300, received=500, opened=1, active=0)


def test_a_connection_to_itself_is_one_client(kernel_half: KernelHalf, lan: Lan) -> None:
    left, _ = lan
    with left.endpoint() as end:
        end.bind(("127.0.0.1", 45677))
        end.connect(("127.0.0.1", 45677))
        end.sendall(b"x" * 100)
        assert drain(end, 100) == 100
        pairs = kernel_half.pairs(left)
        assert pairs["client", 45677] == {"sent": 100, "received": 100, "opened": 1, "active": 1}
        assert ("server", 45677) not in pairs
    eventually(lambda: kernel_half.pairs(left)["client", 45677]["active"], 0)
    assert kernel_half.pairs(left)["client", 45677]["sent"] == 100


def test_reset_by_linger(watch: Watch, lan: Lan) -> None:
    left, right = lan
    with right.listen() as listener:
        link = join(left, listener, right.v4)
        client, server = rows(link.port)
        talk(link, 4321, 1234)
        link.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        link.client.close()
        with pytest.raises(ConnectionResetError):
            link.server.recv(1)
        link.server.close()
    watch.expect(client, sent=4321, received=1234, opened=1, active=0)
    watch.expect(server, sent=1234, received=4321, opened=1, active=0)
