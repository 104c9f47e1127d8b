"""Maps of the kernel half that are full: what does not fit is counted, and room is made."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from conductor.builtin import parse_config
from conductor.builtin.kit.books import Books
from conductor.builtin.service_map import Pace, Running, ServiceMap
from tests.builtin.lan import Host, join, talk
from tests.builtin.world import FakeState, World, eventually

pytestmark = pytest.mark.kernel

Attach = Callable[..., Any]


def talk_over_new_ports(lan: tuple[Host, Host], times: int, size: int) -> None:
    """Every port is a pair of its own."""
    left, right = lan
    for _ in range(times):
        with right.listen() as listener:
            link = join(left, listener, right.v4)
            talk(link, size, size)
            link.close()


def lost(world: World) -> dict[str, float]:
    words = {"map": "connections", "direction": "bytes"}
    return {
        dict(labels)[label]: value
        for (name, labels), value in world.samples().items()
        for label, word in words.items()
        if name == f"service_map_lost_{word}_total"
    }


def test_pairs_that_do_not_fit_are_counted(attach: Attach, lan: tuple[Host, Host], tmp_path: Path) -> None:
    with attach(pairs=4) as half:
        world = World(state=FakeState(tmp_path / "state"), maps=half.maps)
        program = world.open(ServiceMap)
        program.tick()
        assert lost(world) == {"pairs": 0, "sockets": 0, "sent": 0, "received": 0}
        talk_over_new_ports(lan, 10, 1000)

        def settled() -> bool:
            program.tick()
            seen = lost(world)
            return seen["pairs"] >= 12 and seen["sent"] >= 12_000 and seen["received"] >= 12_000

        eventually(settled, expected=True)
        assert any("full" in message for _, message in world.log)
        program.close()


def test_sockets_that_do_not_fit_are_counted(attach: Attach, lan: tuple[Host, Host], tmp_path: Path) -> None:
    left, right = lan
    with attach(sockets=1) as half, right.listen() as listener:
        world = World(state=FakeState(tmp_path / "state"), maps=half.maps)
        program = world.open(ServiceMap)
        links = [join(left, listener, right.v4) for _ in range(20)]
        program.tick()
        assert lost(world)["sockets"] > 0
        port = str(links[0].port)
        assert sum(world.values("service_map_connections_opened_total", server_port=port)) == 40
        assert sum(world.values("service_map_connections_active", server_port=port)) < 40
        for link in links:
            link.close()
        program.close()


def test_room_is_made_and_totals_stay(attach: Attach, lan: tuple[Host, Host], tmp_path: Path) -> None:
    """The map holds what one round and the rest of the machine need, and by far not what all rounds do."""
    with attach(pairs=1024) as half:
        world = World(state=FakeState(tmp_path / "state"), maps=half.maps)
        for host in lan:
            world.lookup.name(host.v4, "ours")
        context = world.context()
        books = Books.of(context, half.maps["pairs"], width=40, counters=3)
        pace = Pace(expire=0.0, idle_when_full=0.0)
        program = Running(context=context, config=parse_config(ServiceMap, {}), books=books, pace=pace)
        for rounds in range(1, 13):
            talk_over_new_ports(lan, 60, 1000)

            def sent() -> float:
                program.tick()
                return sum(world.values("service_map_sent_bytes_total", client_name="ours", server_name="ours"))

            eventually(sent, rounds * 60 * 2000)
        assert lost(world)["pairs"] == 0
        assert half.maps["pairs"].entries().count < 1024
        program.close()
