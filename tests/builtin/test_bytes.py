"""Byte truth: what was sent is what is counted, on both ends, at the right port and role."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from tests.builtin.conftest import KernelHalf, Watch, rows
from tests.builtin.lan import Host, drain, join, talk

pytestmark = pytest.mark.kernel

Lan = tuple[Host, Host]
FAMILIES = ["v4", "v6", "mapped"]


def address_of(host: Host, family: str) -> tuple[str, str]:
    """Where to listen and where to connect."""
    return {"v4": (host.v4, host.v4), "v6": (host.v6, host.v6), "mapped": ("::", host.v4)}[family]


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
