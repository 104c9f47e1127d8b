"""Byte truth: what was sent is what is counted, on both ends, at the right port and role."""

from __future__ import annotations

import os
import socket
import struct
from pathlib import Path

import pytest

from tests.builtin.conftest import KernelHalf, Watch
from tests.builtin.lan import Host, drain, join, talk
from tests.builtin.world import eventually

pytestmark = pytest.mark.kernel

Lan = tuple[Host, Host]
FAMILIES = ["v4", "v6", "mapped"]


def address_of(host: Host, family: str) -> tuple[str, str]:
    """Where to listen and where to connect."""
    return {"v4": (host.v4, host.v4), "v6": (host.v6, host.v6), "mapped": ("::", host.v4)}[family]


def rows(port: int) -> tuple[dict[str, str], dict[str, str]]:
    """Labels of a connection from left to right: the client's row and the server's."""
    ends = {"client_name": "left", "client_kind": "Host", "server_name": "right", "server_kind": "Host"}
    return {"role": "client", "server_port": str(port), **ends}, {"role": "server", "server_port": str(port), **ends}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("up", "down"), [(1, 1), (0, 70_000), (300_000, 12_345), (3_000_000, 0)])
def test_short_lived_connections(watch: Watch, lan: Lan, family: str, up: int, down: int) -> None:
    left, right = lan
    listen, connect = address_of(right, family)
    with right.listen(listen) as listener:
        for _ in range(2):
            link = join(left, listener, connect)
            talk(link, up, down)
            link.close()
    client, server = rows(link.port)
    watch.expect(client, sent=2 * up, received=2 * down, opened=2, active=0)
    watch.expect(server, sent=2 * down, received=2 * up, opened=2, active=0)


@pytest.mark.parametrize("family", FAMILIES)
def test_an_open_connection_is_counted_as_it_goes(watch: Watch, lan: Lan, family: str) -> None:
    left, right = lan
    listen, connect = address_of(right, family)
    with right.listen(listen) as listener:
        link = join(left, listener, connect)
        client, server = rows(link.port)
        for step in range(1, 4):
            talk(link, 500_000, 40_000)
            watch.expect(client, sent=step * 500_000, received=step * 40_000, opened=1, active=1)
            watch.expect(server, sent=step * 40_000, received=step * 500_000, opened=1, active=1)
        link.close()
    watch.expect(client, active=0, opened=1)
    watch.expect(server, active=0, opened=1)


def test_one_that_only_sends_is_counted_while_it_is_open(watch: Watch, lan: Lan) -> None:
    left, right = lan
    with right.listen() as listener:
        link = join(left, listener, right.v4)
        client, server = rows(link.port)
        talk(link, 5_000_000, 0)
        watch.expect(client, sent=5_000_000, received=0, active=1)
        watch.expect(server, sent=0, received=5_000_000, active=1)
        link.close()


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


def test_splice(watch: Watch, lan: Lan) -> None:
    left, right = lan
    size = 200_000
    with right.listen() as listener:
        link = join(left, listener, right.v4)
        client, server = rows(link.port)
        link.client.sendall(b"x" * size)
        out, into = os.pipe()
        link.server.setblocking(True)
        moved = 0
        while moved < size:
            part = os.splice(link.server.fileno(), into, 65536)
            moved += len(os.read(out, part))
        os.close(out)
        os.close(into)
        watch.expect(client, sent=size, received=0)
        watch.expect(server, sent=0, received=size)
        link.close()
    watch.expect(server, sent=0, received=size, active=0)


def test_sendfile(watch: Watch, lan: Lan, tmp_path: Path) -> None:
    left, right = lan
    path = tmp_path / "file"
    path.write_bytes(b"x" * 100_000)
    with right.listen() as listener, path.open("rb") as file:
        link = join(left, listener, right.v4)
        client, server = rows(link.port)
        assert link.client.sendfile(file) == 100_000
        drain(link.server, 100_000)
        watch.expect(client, sent=100_000)
        watch.expect(server, received=100_000)
        link.close()


def test_peeking_counts_once(watch: Watch, lan: Lan) -> None:
    left, right = lan
    with right.listen() as listener:
        link = join(left, listener, right.v4)
        client, server = rows(link.port)
        link.client.sendall(b"x" * 3000)
        for _ in range(5):
            assert link.server.recv(3000, socket.MSG_PEEK)
        drain(link.server, 3000)
        link.close()
    watch.expect(server, received=3000, active=0)
    watch.expect(client, sent=3000, active=0)


def test_the_server_port_is_in_host_order_and_the_ephemeral_one_in_no_label(watch: Watch, lan: Lan) -> None:
    left, right = lan
    with right.listen() as listener:
        links = [join(left, listener, right.v4) for _ in range(3)]
        for link in links:
            talk(link, 10, 10)
        port = str(links[0].port)
        watch.expect({"client_name": "left"}, opened=6, active=6)
        ports = {
            dict(labels)["server_port"] for (_, labels) in watch.world.samples() if ("client_name", "left") in labels
        }
        assert ports == {port}
        for link in links:
            link.close()


def test_an_accepted_connection_of_a_listener_without_backlog_is_the_servers(watch: Watch, lan: Lan) -> None:
    left, right = lan
    with right.listen(backlog=0) as listener:
        link = join(left, listener, right.v4)
        talk(link, 100, 200)
        client, server = rows(link.port)
        watch.expect(client, sent=100, received=200, opened=1)
        watch.expect(server, sent=200, received=100, opened=1)
        link.close()


def test_the_same_tuple_in_two_namespaces(kernel_half: KernelHalf, lan: Lan) -> None:
    links = []
    for host, size in zip(lan, (1000, 2000), strict=True):
        listener = host.listen("127.0.0.1", port=45678)
        mine = host.endpoint()
        mine.bind(("127.0.0.1", 45679))
        mine.connect(("127.0.0.1", 45678))
        theirs, _ = listener.accept()
        mine.sendall(b"x" * size)
        assert drain(theirs, size) == size
        links += [listener, mine, theirs]
    for host, size in zip(lan, (1000, 2000), strict=True):
        pairs = kernel_half.pairs(host)
        assert pairs["client", 45678] == {"sent": size, "received": 0, "opened": 1, "active": 1}
        assert pairs["server", 45678] == {"sent": 0, "received": size, "opened": 1, "active": 1}
    for end in links:
        end.close()
