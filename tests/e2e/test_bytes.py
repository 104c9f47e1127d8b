"""Byte truth on the page of the whole agent: what was sent is what Prometheus would read, at both ends."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.builtin.lan import Host, join, make_lan, talk
from tests.conftest import namespaces
from tests.e2e.node import Node, launched, told

pytestmark = [pytest.mark.kernel, pytest.mark.slow, pytest.mark.timeout(120)]
SIZES = ((1, 1), (0, 70_000), (300_000, 12_345), (3_000_000, 0))
UP, DOWN = (sum(size[way] for size in SIZES) for way in (0, 1))
METRICS = {
    "sent": "service_map_sent_bytes_total",
    "received": "service_map_received_bytes_total",
    "opened": "service_map_connections_opened_total",
    "active": "service_map_connections_active",
}
FAMILIES = ("v4", "v6", "to a mapped listener", "from a mapped socket")


@dataclass
class Wire:
    """A node that counts, and two hosts; the node's names file calls them left and right."""

    node: Node
    left: Host
    right: Host

    def seen(self, **labels: str) -> dict[str, float]:
        series = self.node.series("?program=service_map")
        return {word: told(series, metric, **labels) for word, metric in METRICS.items()}

    def expect(self, labels: dict[str, str], **numbers: float) -> None:
        self.node.wait_for(
            lambda: numbers.items() <= self.seen(**labels).items(), f"{labels}: {numbers} ({self.seen(**labels)})", 15
        )


@pytest.fixture(scope="module")
def wire() -> Iterator[Wire]:
    with namespaces() as netns, launched() as node:
        left, right = make_lan(netns)
        names = node.root / "names"
        names.write_text(f"{left.v4} left\n{left.v6} left\n{right.v4} right\n{right.v6} right\n")
        node.start("--kernel", "embedded", "--names", str(names), "--node-name", "this-node")
        node.cli("load", "builtin", "service_map", "--config", "interval=0.2", "--config", "loopback=true")
        yield Wire(node, left, right)


def addresses(family: str, v4: str, v6: str) -> tuple[str, str]:
    """Where to listen and where to connect."""
    return {
        "v4": (v4, v4),
        "v6": (v6, v6),
        "to a mapped listener": ("::", v4),
        "from a mapped socket": ("::", f"::ffff:{v4}"),
    }[family]


def converse(client: Host, server: Host, listen: str, connect: str) -> int:
    """One short connection for each of SIZES; answers the port."""
    with server.listen(listen) as listener:
        for up, down in SIZES:
            link = join(client, listener, connect)
            talk(link, up, down)
            link.close()
    return link.port


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("reverse", [False, True], ids=["left to right", "right to left"])
def test_over_veth_both_ends_tell_every_byte(wire: Wire, family: str, reverse: bool) -> None:
    client, server = (wire.right, wire.left) if reverse else (wire.left, wire.right)
    port = converse(client, server, *addresses(family, server.v4, server.v6))
    ends = ("right", "left") if reverse else ("left", "right")
    row = {"server_port": str(port), "client_name": ends[0], "server_name": ends[1], "client_kind": "Host"}
    wire.expect(row | {"role": "client"}, sent=UP, received=DOWN, opened=len(SIZES), active=0)
    wire.expect(row | {"role": "server"}, sent=DOWN, received=UP, opened=len(SIZES), active=0)


@pytest.mark.parametrize("family", FAMILIES)
def test_over_loopback_both_ends_are_this_node(wire: Wire, family: str) -> None:
    here = Host(wire.left.namespace, "127.0.0.1", "::1")
    port = converse(here, here, *addresses(family, here.v4, here.v6))
    row = {"server_port": str(port), "client_kind": "Node", "server_kind": "Node", "server_name": "this-node"}
    wire.expect(row | {"role": "client"}, sent=UP, received=DOWN, opened=len(SIZES), active=0)
    wire.expect(row | {"role": "server"}, sent=DOWN, received=UP, opened=len(SIZES), active=0)


def test_an_open_connection_is_told_while_it_goes(wire: Wire) -> None:
    with wire.right.listen() as listener:
        link = join(wire.left, listener, wire.right.v4)
        row = {"server_port": str(link.port), "client_name": "left"}
        for step in (1, 2):
            talk(link, 500_000, 40_000)
            wire.expect(row | {"role": "client"}, sent=step * 500_000, received=step * 40_000, opened=1, active=1)
            wire.expect(row | {"role": "server"}, sent=step * 40_000, received=step * 500_000, opened=1, active=1)
        link.close()
    wire.expect(row, opened=2, active=0)


def test_only_what_is_sent_after_the_load_counts_on_an_older_connection(wire: Wire) -> None:
    wire.node.cli("unload", "service_map")
    with wire.right.listen() as listener:
        link = join(wire.left, listener, wire.right.v4)
        talk(link, 100_000, 100_000)
        wire.node.cli("load", "builtin", "service_map", "--config", "interval=0.2", "--config", "loopback=true")
        row = {"server_port": str(link.port)}
        talk(link, 1000, 100)  # the first sight of it is where counting begins
        wire.expect(row | {"role": "client"}, active=1, opened=0)
        before = wire.seen(**row, role="client"), wire.seen(**row, role="server")
        assert before[0]["sent"] <= 1000
        assert before[1]["sent"] <= 100
        talk(link, 54_321, 12_345)
        for role, past, sent, got in (
            ("client", before[0], 54_321, 12_345),
            ("server", before[1], 12_345, 54_321),
        ):
            wire.expect(row | {"role": role}, sent=past["sent"] + sent, received=past["received"] + got, opened=0)
        link.close()


def test_the_same_addresses_and_port_in_two_namespaces_are_kept_apart(wire: Wire) -> None:
    """Both namespaces have a 127.0.0.1; what is one row on the page must be the sum of two in the kernel."""
    places = [Host(host.namespace, "127.0.0.1", "::1") for host in (wire.left, wire.right)]
    with places[0].listen() as first, places[1].listen(port=first.getsockname()[1]) as second:
        links = [join(place, listener, "127.0.0.1") for place, listener in zip(places, (first, second), strict=True)]
        for link, size in zip(links, (111_111, 222_222), strict=True):
            talk(link, size, 0)
        for link in links:
            link.client.shutdown(socket.SHUT_WR)
            link.close()
    row = {"server_port": str(links[0].port), "role": "client"}
    wire.expect(row, sent=333_333, received=0, opened=2, active=0)
