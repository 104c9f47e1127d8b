"""Attach and detach, kind by kind, live; what this kernel refuses is checked for its error."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import uuid
from collections.abc import Iterator

import pytest

from conductor.bpfman.flavour import Flavour
from conductor.bpfman.road import BpfmanRoad
from conductor.errors import AlreadyExists, ConductorError, KernelRefused, NotFound
from conductor.model.ids import LinkId
from conductor.model.kernel import (
    Direction,
    InterfaceSelector,
    KernelType,
    Link,
    TcxLink,
    TracepointLink,
    UprobeLink,
)
from conductor.ports import KernelLoaded
from tests.real_bpfman.bed import ENTER, OWNER, Bed
from tests.real_bpfman.eyes import eventually

pytestmark = [pytest.mark.kernel, pytest.mark.slow]


@pytest.fixture
def interface() -> Iterator[str]:
    """One end of a veth pair, both up."""
    name = f"v{uuid.uuid4().hex[:8]}"
    subprocess.run(["ip", "link", "add", name, "type", "veth", "peer", f"{name}p"], check=True)
    for end in (name, f"{name}p"):
        subprocess.run(["ip", "link", "set", end, "up"], check=True)
    yield name
    subprocess.run(["ip", "link", "del", name], check=False)


async def attached(
    road: BpfmanRoad, bed: Bed, stem: str, link: Link, interface: str = ""
) -> tuple[KernelLoaded, LinkId]:
    (program,) = await road.load(bed.load(stem))
    return program, await road.attach(program.id, program_type(bed, stem), link, interface)


def program_type(bed: Bed, stem: str) -> KernelType:
    return bed.function(stem).type


def tcx(interface: str, direction: Direction = Direction.EGRESS, priority: int = 50) -> TcxLink:
    return TcxLink(interfaces=InterfaceSelector(names=(interface,)), direction=direction, priority=priority)


async def links(road: BpfmanRoad, bed: Bed) -> tuple[LinkId, ...]:
    return tuple(link for program in await road.loaded({OWNER: bed.owner}) for link in program.links)


def test_tracepoint_counts_until_it_is_detached(bed: Bed) -> None:
    async def story(road: BpfmanRoad) -> None:
        program, link = await attached(road, bed, "enter", ENTER)
        assert await links(road, bed) == (link,)
        assert bed.eyes.links() == [program.id]
        os.getpgid(0)
        assert bed.counted(program.map_pin_path, "enter") >= 1
        await road.detach(link)
        assert await links(road, bed) == ()
        assert bed.eyes.links() == []
        with pytest.raises(NotFound):
            await road.detach(link)

    bed.tell(story)


def test_same_place_twice_is_refused_and_doubles_nothing(bed: Bed) -> None:
    async def story(road: BpfmanRoad) -> None:
        program, link = await attached(road, bed, "enter", ENTER)
        # The Rust daemon leaves the kernel's word (file exists) out.
        expected = KernelRefused if bed.flavour is Flavour.RUST else AlreadyExists
        with pytest.raises(expected):
            await road.attach(program.id, KernelType.TRACEPOINT, ENTER, "")
        assert bed.eyes.links() == [program.id]
        assert await links(road, bed) == (link,)

    bed.tell(story)


def test_two_loads_attach_side_by_side(bed: Bed) -> None:
    async def story(road: BpfmanRoad) -> None:
        one, _ = await attached(road, bed, "enter", ENTER)
        other, _ = await attached(road, bed, "enter", ENTER)
        assert bed.eyes.links() == sorted([one.id, other.id])
        os.getpgid(0)
        assert bed.counted(one.map_pin_path, "enter") >= 1
        assert bed.counted(other.map_pin_path, "enter") >= 1

    bed.tell(story)


def test_unknown_tracepoint_is_named(bed: Bed) -> None:
    async def story(road: BpfmanRoad) -> None:
        (program,) = await road.load(bed.load("enter"))
        with pytest.raises(NotFound, match="no_such_event"):
            await road.attach(program.id, KernelType.TRACEPOINT, TracepointLink(name="syscalls/no_such_event"), "")
        assert await links(road, bed) == ()

    bed.tell(story)


def test_tcx_counts_packets_of_its_direction(bed: Bed, interface: str) -> None:
    async def story(road: BpfmanRoad) -> None:
        program, link = await attached(road, bed, "tcx", tcx(interface), interface)
        before = bed.counted(program.map_pin_path, "tcx")
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as out:
            out.bind((interface, 0))
            out.send(bytes(12) + b"\x88\xb5" + bytes(46))  # an experimental ethertype: nobody answers
        assert bed.counted(program.map_pin_path, "tcx") > before
        await road.detach(link)
        assert bed.eyes.links() == []

    bed.tell(story)


def test_tcx_at_an_interface_that_is_not_there(bed: Bed) -> None:
    async def story(road: BpfmanRoad) -> None:
        (program,) = await road.load(bed.load("tcx"))
        with pytest.raises(NotFound):
            await road.attach(program.id, KernelType.TCX, tcx("no-such-if"), "no-such-if")

    bed.tell(story)


def test_tcx_twice_at_one_place(bed: Bed, interface: str) -> None:
    async def story(road: BpfmanRoad) -> None:
        program, _ = await attached(road, bed, "tcx", tcx(interface), interface)
        expected = KernelRefused if bed.flavour is Flavour.RUST else AlreadyExists
        with pytest.raises(expected):
            await road.attach(program.id, KernelType.TCX, tcx(interface, priority=60), interface)
        assert bed.eyes.links() == [program.id]

    bed.tell(story)


@pytest.mark.parametrize("stem", ["uprobe", "uret"])
def test_uprobe_counts_calls(bed: Bed, stem: str) -> None:
    async def story(road: BpfmanRoad) -> None:
        program, link = await attached(road, bed, stem, UprobeLink(target=str(bed.target), function="touched"))
        for _ in range(3):
            bed.touch()
        assert bed.counted(program.map_pin_path, stem) == 3
        await road.detach(link)
        await asyncio.to_thread(eventually, lambda: touched(program), 0)  # the kernel lets go of a probe a little later

    def touched(program: KernelLoaded) -> int:
        before = bed.counted(program.map_pin_path, stem)
        bed.touch()
        return bed.counted(program.map_pin_path, stem) - before

    bed.tell(story)


@pytest.mark.parametrize("link", [("touched", "/nowhere.so"), ("no_such_symbol", "")], ids=["file", "symbol"])
def test_uprobe_at_nothing(bed: Bed, link: tuple[str, str]) -> None:
    function, target = link

    async def story(road: BpfmanRoad) -> None:
        (program,) = await road.load(bed.load("uprobe"))
        wish = UprobeLink(target=target or str(bed.target), function=function)
        with pytest.raises(NotFound):
            await road.attach(program.id, KernelType.UPROBE, wish, "")
        assert await links(road, bed) == ()

    bed.tell(story)


def test_link_of_another_kind_is_refused_before_it_is_sent(bed: Bed) -> None:
    async def story(road: BpfmanRoad) -> None:
        (program,) = await road.load(bed.load("enter"))
        with pytest.raises(ConductorError, match="takes no"):
            await road.attach(program.id, KernelType.TRACEPOINT, UprobeLink(target="libc", function="x"), "")

    bed.tell(story)
