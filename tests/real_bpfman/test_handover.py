"""What a kernel program's map holds, through updates, on each real daemon."""

from __future__ import annotations

import asyncio
import os

import pytest

from conductor.bpf.objects import BpfObject
from conductor.managers.kernel_half import KernelHalf
from conductor.model.status import State
from tests.real_bpfman.bed import Bed
from tests.real_bpfman.half import Node
from tests.real_bpfman.test_kernel_half import agrees, wishes

pytestmark = [pytest.mark.kernel, pytest.mark.slow]


def maps(bed: Bed, half: KernelHalf) -> int:
    """Kernel id of the map that readers are led to."""
    (status,) = half.observed()
    return bed.map_id(status.functions[0].map_pin_path)


def test_map_is_handed_on_from_version_to_version(bed: Bed) -> None:
    """The Rust daemon shares no maps between Loads: there each version begins anew and says so."""

    async def story() -> None:
        node = Node(bed)
        async with node.agent() as half:
            await half.converge(wishes(node.wish("a", "enter", "exit")))
            for _ in range(100):
                os.getpgid(0)
            before, counted = maps(bed, half), node.counted(half, "a")
            assert counted >= 100
            for path in (bed.newer, bed.object, bed.newer):
                await half.converge(wishes(node.wish("a", "enter", "exit", path=path)))
                await agrees(bed, half, 1)
                condition = half.observed()[0].condition
                if bed.flavour == "bpfman-rust":
                    assert condition.reason == "MapsRenewed"
                    assert "does not share maps between Loads" in condition.message
                    assert maps(bed, half) != before
                else:
                    assert (condition.state, condition.reason) == (State.RUNNING, "")
                    assert maps(bed, half) == before
                    assert node.counted(half, "a") >= counted
            os.getpgid(0)
            assert node.counted(half, "a") >= 100

    asyncio.run(story())


def test_borrower_keeps_its_owners_maps_through_the_owners_update(bed: Bed) -> None:
    """The Rust daemon lends no maps at all: there the guest is refused, and its owner changes all the same."""

    async def story() -> None:
        node = Node(bed)
        guest = node.wish("guest", "exit", map_owner=node.wish("owner").spec.name)
        async with node.agent() as half:
            await half.converge(wishes(node.wish("owner"), guest))
            before = {str(s.spec.name): [f.id for f in s.functions] for s in half.observed()}
            await half.converge(wishes(node.wish("owner", path=bed.newer), guest))
            await agrees(bed, half, 1 if bed.flavour == "bpfman-rust" else 2)
            after = {str(s.spec.name): [f.id for f in s.functions] for s in half.observed()}
            assert after["guest"] == before["guest"]
            assert after["owner"] != before["owner"]
            assert len(after["guest"]) == (bed.flavour != "bpfman-rust")
            os.getpgid(0)
            assert (node.counted(half, "owner", "exit") >= 1) == (bed.flavour != "bpfman-rust")

    asyncio.run(story())


def test_programs_that_the_daemon_lost_are_seen_where_it_lists_them(bed: Bed) -> None:
    """Our own load of the same object stands for what a crash of the daemon orphans: same name, same tag."""

    async def story() -> None:
        node = Node(bed)
        async with node.agent() as half:
            await half.converge(wishes(node.wish("a")))
            with BpfObject.open(bed.object) as orphan:
                orphan.select([bed.name("enter")])
                orphan.load()
                half.strays.look_again()
                await asyncio.sleep(1)
                known = half.strays.counts()
            await half.converge({})
            assert known == {"orphans": 1 if bed.flavour == "bpfman-rust" else None, "foreign_programs": 0}

    asyncio.run(story())
