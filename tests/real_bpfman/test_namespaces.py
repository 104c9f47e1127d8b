"""Links in other network namespaces, live on each daemon."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace

import pytest

from conductor.bpfman.flavour import Flavour
from conductor.bpfman.road import BpfmanRoad
from conductor.errors import InvalidSpec, KernelRefused, NotFound
from conductor.managers.kernel_half import KernelHalf, KernelWish
from conductor.model.ids import LinkId, Name
from conductor.model.kernel import (
    Direction,
    InterfaceSelector,
    KernelProgramSpec,
    KernelType,
    PathObject,
    TcLink,
    TcxLink,
    XdpLink,
)
from conductor.model.program import Source
from tests.real_bpfman.bed import OWNER, Bed
from tests.real_bpfman.eyes import eventually
from tests.real_bpfman.half import Node
from tests.real_bpfman.space import Space, spaced

pytestmark = [pytest.mark.kernel, pytest.mark.slow]
IN_V0 = TcxLink(interfaces=InterfaceSelector(names=("v0",)), direction=Direction.INGRESS)


@pytest.fixture
def space() -> Iterator[Space]:
    with spaced() as space:
        yield space


def named(bed: Bed, space: Space) -> str:
    """Mount its network namespace on a file where the daemon runs."""
    path = bed.folder / "netns"
    path.touch()
    bed.daemon.place.run("mount", "--bind", space.path, str(path))
    return str(path)


LINKS: dict[str, TcxLink | TcLink | XdpLink] = {
    "tcx": IN_V0,
    "tc": TcLink(interfaces=IN_V0.interfaces, direction=Direction.INGRESS),
    "xdp": XdpLink(interfaces=IN_V0.interfaces),
}


@pytest.mark.parametrize("way", ["process", "file"])
@pytest.mark.parametrize("stem", LINKS)
def test_packets_of_another_network_namespace_are_counted(bed: Bed, space: Space, stem: str, way: str) -> None:
    """By a process that is in it, and by a file it is mounted on, as `ip netns` does."""
    path = named(bed, space) if way == "file" else space.path
    link = replace(LINKS[stem], netns=path)

    async def story(road: BpfmanRoad) -> None:
        if stem != "tcx" and bed.flavour is not Flavour.LOADER:
            with pytest.raises(KernelRefused, match="freplace"):  # this kernel has none
                await road.load(bed.load(stem))
            return
        (program,) = await road.load(bed.load(stem))
        id_ = await road.attach(program.id, bed.function(stem).type, link, "v0")
        before = bed.counted(program.map_pin_path, stem)
        space.talk()
        assert bed.counted(program.map_pin_path, stem) == before + 1
        assert bed.eyes.links() == [program.id]
        await road.detach(id_)
        assert bed.eyes.links() == []

    bed.tell(story)


def test_what_is_no_network_namespace_is_refused(bed: Bed, space: Space) -> None:
    async def story(road: BpfmanRoad) -> None:
        (program,) = await road.load(bed.load("tcx"))
        for netns in ("/nowhere/ns", str(bed.object)):
            with pytest.raises(InvalidSpec, match="netns"):
                await road.attach(program.id, KernelType.TCX, replace(IN_V0, netns=netns), "v0")
        with pytest.raises(NotFound):
            await road.attach(program.id, KernelType.TCX, replace(IN_V0, netns=space.path), "lost0")
        assert [link for p in await road.loaded({OWNER: bed.owner}) for link in p.links] == []

    bed.tell(story)


def attached_ids(half: KernelHalf) -> list[LinkId]:
    """Ids of the links that the agent knows of."""
    return [link.id for status in half.observed() for function in status.functions for link in function.links]


def test_a_network_namespace_made_anew_under_its_name(bed: Bed) -> None:
    """Seen where the daemon tells that a link is dead; bpfman goes on listing it, as any that somebody took away."""
    node = Node(bed)

    async def story() -> None:
        with spaced() as first:
            path = named(bed, first)
            function = replace(bed.function("tcx"), links=(replace(IN_V0, netns=path),))
            spec = KernelProgramSpec(name=Name("pods"), bytecode=PathObject(path=str(bed.object)), programs=(function,))
            async with node.agent() as half:
                await half.converge({spec.name: KernelWish(spec=spec, source=Source.GRPC)})
                before = attached_ids(half)
                bed.daemon.place.run("umount", path)
                first.end()
                with spaced() as second:
                    named(bed, second)
                    if bed.flavour is Flavour.LOADER:
                        await asyncio.to_thread(eventually, lambda: attached_ids(half) not in ([], before), True)
                    await asyncio.sleep(3 * node.resync)
                    second.talk()
                    assert node.counted(half, "pods", "tcx") == (1 if bed.flavour is Flavour.LOADER else 0)
                    assert (attached_ids(half) == before) == (bed.flavour is not Flavour.LOADER)
                    bed.daemon.place.run("umount", path)
                await half.converge({})

    asyncio.run(story())
