"""While a cluster's names are on their way, service_map takes nobody for a stranger, and loses nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from conductor.builtin.service_map import ServiceMap
from tests.builtin.flows import Flows
from tests.builtin.world import World

SENT, ACTIVE = "service_map_sent_bytes_total", "service_map_connections_active"


@pytest.fixture
def flows() -> Flows:
    return Flows()


@pytest.fixture
def world(flows: Flows, tmp_path: Path) -> World:
    made = flows.world(tmp_path)
    made.lookup.name("10.0.0.1", "web", kind="Deployment")
    made.lookup.name("10.0.0.2", "db", kind="StatefulSet")
    made.lookup.settled = False
    return made


def test_whom_everybody_knows_is_counted_at_once(flows: Flows, world: World) -> None:
    flows.add("client", "10.0.0.1", "10.0.0.2", 80, sent=5)
    flows.add("client", "10.0.0.1", "10.0.0.3", 80, sent=7, active=1)
    world.open(ServiceMap).tick()
    assert world.values(SENT) == [5]
    assert world.values(ACTIVE) == [0]


def test_who_gets_a_name_is_counted_by_it_from_the_first_byte_on(flows: Flows, world: World) -> None:
    flows.add("client", "10.0.0.1", "10.0.0.3", 80, sent=7, active=1)
    running = world.open(ServiceMap)
    running.tick()
    flows.add("client", "10.0.0.1", "10.0.0.3", 80, sent=1)
    world.lookup.name("10.0.0.3", "late", kind="Deployment")
    running.tick()
    assert world.values(SENT) == world.values(SENT, server_name="late") == [8]
    assert world.values(ACTIVE, server_name="late") == [1]


def test_who_has_none_in_the_end_is_a_stranger_from_the_first_byte_on(flows: Flows, world: World) -> None:
    flows.add("client", "10.0.0.1", "10.0.0.3", 80, sent=7)
    running = world.open(ServiceMap)
    running.tick()
    assert world.values(SENT) == []
    world.lookup.settled = True
    running.tick()
    assert world.values(SENT, server_kind="External") == [7]


def test_what_was_settled_once_is_not_asked_about_again(flows: Flows, world: World) -> None:
    world.lookup.settled = True
    running = world.open(ServiceMap)
    running.tick()
    world.lookup.settled = False
    flows.add("client", "10.0.0.1", "10.0.0.3", 80, sent=7)
    running.tick()
    assert world.values(SENT, server_kind="External") == [7]


def test_a_program_that_starts_again_meanwhile_counts_all_in_the_end(flows: Flows, world: World) -> None:
    flows.add("client", "10.0.0.1", "10.0.0.3", 80, sent=7)
    world.open(ServiceMap).tick()
    again = world.reborn()
    again.lookup.settled = True
    flows.add("client", "10.0.0.1", "10.0.0.3", 80, sent=2)
    again.open(ServiceMap).tick()
    assert again.values(SENT, server_kind="External") == [9]
