"""No series ever goes down: through closing connections, renames, restarts, swaps and full disks."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from conductor.builtin.service_map import ServiceMap
from conductor.ports import Program
from tests.builtin.conftest import KernelHalf
from tests.builtin.lan import Host, drain, join, talk
from tests.builtin.world import FakeState, World, eventually

pytestmark = pytest.mark.kernel

CONNECTIONS, LOOKS = 1000, 40
UP, DOWN = 700, 300


class Rising:
    """Remember every counter of a page and see that none falls."""

    def __init__(self) -> None:
        self.highest: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}
        self.looks = 0

    def look(self, world: World) -> None:
        seen = {key: value for key, value in world.samples().items() if key[0].endswith("_total")}
        fallen = {
            key: (self.highest[key], seen.get(key)) for key in self.highest if seen.get(key, 0) < self.highest[key]
        }
        assert not fallen
        self.highest |= seen
        self.looks += 1


@dataclass
class Traffic:
    port: int
    permits: threading.Semaphore

    def looks(self) -> Iterator[int]:
        """Count from 0 to 39 while it flows: so many connections may begin at each."""
        for look in range(LOOKS):
            self.permits.release(CONNECTIONS // LOOKS)
            yield look


@contextmanager
def traffic(lan: tuple[Host, Host], *, parallel: int = 4) -> Iterator[Traffic]:
    """Open and close connections meanwhile. All have ended when the scope does."""
    left, right = lan
    with right.listen(backlog=128) as listener:
        port: int = listener.getsockname()[1]
        permits = threading.Semaphore(0)

        def serve() -> None:
            for _ in range(CONNECTIONS // parallel):
                end, _ = listener.accept()
                with end:
                    end.settimeout(10)
                    drain(end, UP)
                    end.sendall(b"y" * DOWN)
                    drain(end)

        def call() -> None:
            for _ in range(CONNECTIONS // parallel):
                permits.acquire()
                with left.endpoint() as end:
                    end.connect((right.v4, port))
                    end.sendall(b"x" * UP)
                    drain(end, DOWN)

        threads = [threading.Thread(target=work) for work in (serve, call) for _ in range(parallel)]
        for thread in threads:
            thread.start()
        yield Traffic(port, permits)
        for thread in threads:
            thread.join()


@pytest.fixture
def world(tmp_path: Path, kernel_half: KernelHalf, lan: tuple[Host, Host]) -> World:
    made = World(state=FakeState(tmp_path / "state"), maps=kernel_half.maps)
    for host, name in zip(lan, ("left", "right"), strict=True):
        made.lookup.name(host.v4, name)
    return made


def sums(world: World, program: Program, port: int) -> dict[str, float]:
    program.tick()
    words = ("sent_bytes_total", "received_bytes_total", "connections_opened_total", "connections_active")
    labels = {"server_port": str(port), "server_name": "right"}
    return {word: sum(world.values(f"service_map_{word}", **labels)) for word in words}


ALL = {
    "sent_bytes_total": CONNECTIONS * (UP + DOWN),
    "received_bytes_total": CONNECTIONS * (UP + DOWN),
    "connections_opened_total": 2 * CONNECTIONS,
    "connections_active": 0,
}


def test_a_thousand_connections_and_renames(world: World, lan: tuple[Host, Host]) -> None:
    program, rising = world.open(ServiceMap), Rising()
    with traffic(lan) as flow:
        for look in flow.looks():
            world.lookup.name(lan[0].v4, f"left-{look % 7}")
            program.tick()
            rising.look(world)
    eventually(lambda: sums(world, program, flow.port), ALL)
    rising.look(world)
    assert len({dict(key[1]).get("client_name") for key in rising.highest}) > 4
    program.close()


def test_killed_and_started_again(world: World, lan: tuple[Host, Host]) -> None:
    program, rising = world.open(ServiceMap), Rising()
    with traffic(lan) as flow:
        for look in flow.looks():
            if look % 5 == 4:
                # kill -9: nothing is closed, memory is gone; names may come back slowly, or as others.
                world = world.reborn()
                world.lookup.name(lan[0].v4, f"left-{look}")
                program = world.open(ServiceMap)
            program.tick()
            rising.look(world)
    eventually(lambda: sums(world, program, flow.port), ALL)
    rising.look(world)
    program.close()


def test_swapped_for_a_new_instance(world: World, lan: tuple[Host, Host]) -> None:
    """As Update does: the old one rests while the new one proves itself, and is closed behind a fence."""
    program, rising = world.open(ServiceMap), Rising()
    with traffic(lan) as flow:
        for look in flow.looks():
            if look % 5 == 4:
                program = world.open(ServiceMap, external=("one", "ip")[look % 2])
            program.tick()
            rising.look(world)
    eventually(lambda: sums(world, program, flow.port), ALL)
    program.close()


def test_a_full_disk_stops_saving_not_showing(world: World, lan: tuple[Host, Host]) -> None:
    program, rising = world.open(ServiceMap), Rising()
    with lan[1].listen() as listener:
        link = join(lan[0], listener, lan[1].v4)
        world.state.is_full = True
        for step in range(1, 4):
            talk(link, 1000, 1000)
            eventually(lambda: sums(world, program, link.port)["sent_bytes_total"], step * 2000)
            rising.look(world)
        assert [level for level, message in world.log if "not saved" in message] == ["warning"]
        world.state.is_full = False
        program.tick()
        world = world.reborn()
        program = world.open(ServiceMap)
        program.tick()
        rising.look(world)
        link.close()
    program.close()


def test_a_state_that_cannot_be_read_starts_at_nothing(world: World, lan: tuple[Host, Host]) -> None:
    program = world.open(ServiceMap)
    with lan[1].listen() as listener:
        link = join(lan[0], listener, lan[1].v4)
        talk(link, 1000, 1000)
        eventually(lambda: sums(world, program, link.port)["sent_bytes_total"], 2000)
        world.state.path.write_bytes(world.state.path.read_bytes()[:-7])
        world = world.reborn()
        program = world.open(ServiceMap)
        program.tick()
        talk(link, 10, 10)
        eventually(lambda: sums(world, program, link.port)["sent_bytes_total"], 20)
        assert any("cannot be read" in message for _, message in world.log)
        link.close()
    program.close()
