"""What service_map shows of what the kernel counted: labels, filters, names, bounds."""

from __future__ import annotations

from pathlib import Path

import pytest

from conductor.builtin import parse_config
from conductor.builtin.kit.books import Books
from conductor.builtin.service_map import LABELS, Pace, Running, ServiceMap, functions
from tests.builtin.flows import Flows
from tests.builtin.world import World

SENT = "service_map_sent_bytes_total"


@pytest.fixture
def flows() -> Flows:
    return Flows()


@pytest.fixture
def world(flows: Flows, tmp_path: Path) -> World:
    made = flows.world(tmp_path)
    made.lookup.name("10.0.0.1", "web", kind="Deployment", namespace="shop")
    made.lookup.name("10.0.0.2", "db", kind="StatefulSet", namespace="data")
    return made


def test_a_row_has_these_labels(flows: Flows, world: World) -> None:
    flows.add("client", "10.0.0.1", "10.0.0.2", 5432, sent=7, received=9, opened=2, active=1)
    world.open(ServiceMap).tick()
    labels = {
        "role": "client",
        "client_namespace": "shop",
        "client_name": "web",
        "client_kind": "Deployment",
        "server_namespace": "data",
        "server_name": "db",
        "server_kind": "StatefulSet",
        "server_port": "5432",
    }
    row = tuple(sorted(labels.items()))
    samples = {name: value for (name, found), value in world.samples().items() if found == row}
    assert samples == {
        SENT: 7,
        "service_map_received_bytes_total": 9,
        "service_map_connections_opened_total": 2,
        "service_map_connections_active": 1,
    }
    assert tuple(labels) == LABELS


def test_the_server_end_is_a_row_of_its_own(flows: Flows, world: World) -> None:
    flows.add("client", "10.0.0.1", "10.0.0.2", 80, sent=5)
    flows.add("server", "10.0.0.2", "10.0.0.1", 80, sent=6)
    world.open(ServiceMap).tick()
    ends = {"client_name": "web", "server_name": "db"}
    assert world.values(SENT, role="client", **ends) == [5]
    assert world.values(SENT, role="server", **ends) == [6]


@pytest.mark.parametrize("address", ["127.0.0.1", "127.9.9.9", "::1"])
def test_loopback_is_shown_when_asked_for(flows: Flows, world: World, address: str) -> None:
    flows.add("client", address, address, 80, sent=5, active=1)
    world.open(ServiceMap).tick()
    assert world.values(SENT) == []
    world.open(ServiceMap, loopback=True).tick()
    assert world.values("service_map_connections_active") == [1]
    flows.add("client", address, address, 80, sent=3)
    world.open(ServiceMap, loopback=True).tick()
    assert world.values(SENT) == [3]


@pytest.mark.parametrize("address", ["128.0.0.1", "::2", "::7f00:1", "1::1"])
def test_others_are_no_loopback(flows: Flows, world: World, address: str) -> None:
    flows.add("client", "10.0.0.1", address, 80, sent=5)
    world.open(ServiceMap).tick()
    assert world.values(SENT) == [5]


def test_an_address_that_talks_to_itself_is_shown(flows: Flows, world: World) -> None:
    flows.add("client", "10.0.0.1", "10.0.0.1", 80, sent=5)
    world.open(ServiceMap).tick()
    assert world.values(SENT, client_name="web", server_name="web") == [5]


def test_unknown_addresses_are_one_workload(flows: Flows, world: World) -> None:
    for host in range(1, 4):
        flows.add("server", "10.0.0.1", f"192.0.2.{host}", 80, sent=host)
    world.open(ServiceMap).tick()
    assert world.values(SENT, client_kind="External", client_name="external", client_namespace="") == [6]


def test_unknown_addresses_are_shown_by_ip_when_asked_for(flows: Flows, world: World) -> None:
    flows.add("server", "10.0.0.1", "192.0.2.1", 80, sent=1)
    flows.add("server", "10.0.0.1", "2001:db8::", 80, sent=2)
    world.open(ServiceMap, external="ip").tick()
    assert world.values(SENT, client_kind="External", client_name="192.0.2.1") == [1]
    assert world.values(SENT, client_kind="External", client_name="2001:db8::") == [2]


def test_one_name_of_two_kinds_is_two_nodes(flows: Flows, world: World) -> None:
    world.lookup.name("10.0.0.3", "db", kind="Service", namespace="data")
    flows.add("client", "10.0.0.1", "10.0.0.2", 80, sent=1)
    flows.add("client", "10.0.0.1", "10.0.0.3", 80, sent=2)
    world.open(ServiceMap).tick()
    assert world.values(SENT, server_name="db", server_kind="StatefulSet") == [1]
    assert world.values(SENT, server_name="db", server_kind="Service") == [2]


def test_a_rename_leaves_the_old_total_and_counts_on_under_the_new_name(flows: Flows, world: World) -> None:
    program = world.open(ServiceMap)
    flows.add("client", "10.0.0.1", "10.0.0.2", 80, sent=100, active=1)
    program.tick()
    world.lookup.name("10.0.0.1", "shop")
    flows.add("client", "10.0.0.1", "10.0.0.2", 80, sent=11)
    program.tick()
    assert world.values(SENT, client_name="web") == [100]
    assert world.values(SENT, client_name="shop") == [11]
    assert world.values("service_map_connections_active", client_name="web") == [0]
    assert world.values("service_map_connections_active", client_name="shop") == [1]


def test_a_row_leaves_when_it_is_idle_and_no_connection_is_open(flows: Flows, world: World) -> None:
    context = world.context()
    books = Books.of(context, flows.pairs, width=40, counters=3)
    pace = Pace(expire=0.0, idle=0.0)
    program = Running(context=context, config=parse_config(ServiceMap, {}), books=books, pace=pace)
    flows.add("client", "10.0.0.1", "10.0.0.2", 80, sent=1)
    flows.add("client", "10.0.0.1", "10.0.0.2", 81, sent=1, active=1)
    program.tick()
    program.tick()
    assert world.values(SENT, server_port="80") == []
    assert world.values(SENT, server_port="81") == [1]
    assert len(flows.pairs.data) == 1
    flows.add("client", "10.0.0.1", "10.0.0.2", 80, sent=3)
    program.tick()
    assert world.values(SENT, server_port="80") == [3]


def test_rows_past_the_budget_are_refused_and_the_others_go_on(flows: Flows, world: World) -> None:
    program = world.open(ServiceMap, series=4 + 4 * 8)
    for port in range(100):
        flows.add("client", "10.0.0.1", "10.0.0.2", port, sent=1)
    program.tick()
    program.tick()
    assert world.values(SENT) == [1] * 8
    assert len(world.values("service_map_connections_active")) == 8
    assert world.store.usage("under-test").refused > 0


def test_losses_are_shown_and_told_once(flows: Flows, world: World) -> None:
    program = world.open(ServiceMap)
    flows.lose(pairs=3, sent=1000, received=2000, sockets=1)
    program.tick()
    program.tick()
    assert world.values("service_map_lost_connections_total", map="pairs") == [3]
    assert world.values("service_map_lost_connections_total", map="sockets") == [1]
    assert world.values("service_map_lost_bytes_total", direction="sent") == [1000]
    assert world.values("service_map_lost_bytes_total", direction="received") == [2000]
    assert [message for _, message in world.log] == [
        "a map of the kernel half is full: 4 connections are not shown so far"
    ]


def test_nothing_seen_is_no_failure(world: World) -> None:
    program = world.open(ServiceMap)
    program.tick()
    assert world.values(SENT) == []
    assert program.interval == 5


@pytest.mark.parametrize(
    ("kernel", "last"),
    [
        ((5, 19), "sock_read"),
        ((6, 1), "sock_read"),
        ((6, 3), "sock_sent"),
        ((6, 8), "sock_sent"),
        ((6, 18), "sock_heard"),
    ],
)
def test_older_kernels_get_what_they_have(kernel: tuple[int, int], last: str) -> None:
    assert [function.name for function in functions(kernel)][:3] == ["sock_state", "sock_gone", "sock_read"]
    assert functions(kernel)[-1].name == last


def test_both_ways_of_following_are_attached_where_the_version_does_not_tell() -> None:
    assert {function.name for function in functions((6, 9))} >= {"sock_heard", "sock_sent"}
