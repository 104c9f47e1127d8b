"""The owner of kernel programs over each real daemon: adoption, healing, updates; bpftool agrees each time."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from conductor.managers.kernel_half import KernelHalf, KernelWish
from conductor.model.ids import Name
from conductor.model.kernel import TracepointLink
from conductor.model.status import State
from tests.real_bpfman.bed import ENTER, Bed
from tests.real_bpfman.eyes import eventually
from tests.real_bpfman.half import Node, attached

pytestmark = [pytest.mark.kernel, pytest.mark.slow]


def wishes(*each: KernelWish) -> dict[Name, KernelWish]:
    return {wish.spec.name: wish for wish in each}


async def agrees(bed: Bed, half: KernelHalf, running: int) -> None:
    """Wait until `running` programs are Running and the kernel holds exactly them, each attached once."""

    def seen() -> tuple[int, bool, bool]:
        states = [status.condition.state for status in half.observed()]
        ids = {function.id for status in half.observed() for function in status.functions}
        return states.count(State.RUNNING), ids == bed.eyes.programs().keys(), attached(half) == bed.eyes.links()

    await asyncio.to_thread(eventually, seen, (running, True, True), 20)


def ids(half: KernelHalf) -> list[int]:
    return sorted(function.id for status in half.observed() for function in status.functions)


def test_wish_is_loaded_attached_and_read(bed: Bed) -> None:
    async def story() -> None:
        node = Node(bed)
        async with node.agent() as half:
            await half.converge(wishes(node.wish("a", "enter", "exit"), node.wish("b")))
            await agrees(bed, half, 2)
            os.getpgid(0)
            assert node.counted(half, "a") >= 1
            assert node.counted(half, "a", "exit") >= 1
            assert node.counted(half, "b") >= 1
            await half.converge(wishes(node.wish("b")))
            await agrees(bed, half, 1)

    asyncio.run(story())


@pytest.mark.parametrize("records", ["kept", "lost"])
def test_next_agent_adopts_what_runs(bed: Bed, records: str) -> None:
    """With its own records not one program or link changes; without them a link is made anew, never a second one."""

    async def story() -> None:
        node = Node(bed)
        wish = wishes(node.wish("a", "enter", "exit"))
        async with node.agent() as half:
            await half.converge(wish)
            before = ids(half), sorted(link.id for s in half.observed() for f in s.functions for link in f.links)
        if records == "lost":
            node.records.unlink()
        async with node.agent() as half:
            await half.converge(wish)
            await agrees(bed, half, 1)
            after = ids(half), sorted(link.id for s in half.observed() for f in s.functions for link in f.links)
            assert before[0] == after[0]
            assert (before[1] == after[1]) == (records == "kept")

    asyncio.run(story())


def test_daemon_and_agent_killed_together(bed: Bed) -> None:
    async def story() -> None:
        node = Node(bed)
        wish = wishes(node.wish("a", "enter", "exit"))
        async with node.agent() as half:
            await half.converge(wish)
            before = ids(half)
            bed.daemon.end(signal.SIGKILL)
        bed.daemon.start()
        async with node.agent() as half:
            await half.converge(wish)
            await agrees(bed, half, 1)
            assert ids(half) == before

    asyncio.run(story())


@pytest.mark.parametrize("loss", ["pins", "everything"])
def test_drift_is_found_and_healed(bed: Bed, loss: str) -> None:
    async def story() -> None:
        node = Node(bed)
        async with node.agent() as half:
            await half.converge(wishes(node.wish("a", "enter", "exit")))
            before = ids(half)
            lose = bed.daemon.lose_pins if loss == "pins" else bed.daemon.lose_everything
            await asyncio.to_thread(lose)
            await asyncio.sleep(1)
            await agrees(bed, half, 1)
            assert not set(before) & set(ids(half))
            os.getpgid(0)
            assert node.counted(half, "a") >= 1

    asyncio.run(story())


def test_link_taken_away_from_outside_is_healed_where_the_daemon_tells(bed: Bed) -> None:
    """bpfman's daemons go on listing such a link: by them it cannot be seen."""

    async def story() -> None:
        node = Node(bed)
        async with node.agent() as half:
            await half.converge(wishes(node.wish("a")))
            before = bed.eyes.link_ids()
            bed.daemon.place.run("sh", "-c", f"rm {bed.daemon.bpffs}/links/*")
            if bed.flavour == "loader":
                await asyncio.to_thread(eventually, lambda: bed.eyes.link_ids() & before, set(), 20)
                await agrees(bed, half, 1)
                return
            await asyncio.to_thread(eventually, bed.eyes.links, [])
            await asyncio.sleep(1.5)
            assert bed.eyes.links() == []
            assert len(attached(half)) == 1

    asyncio.run(story())


def test_update_brings_the_new_up_beside_the_old(bed: Bed) -> None:
    """At each moment at least one of the two counts: whoever calls in between is counted by one of them."""

    async def story() -> None:
        node = Node(bed)
        gaps: list[float] = []
        async with node.agent() as half:
            await half.converge(wishes(node.wish("a")))
            (old,) = ids(half)
            watching = asyncio.Event()

            async def watch() -> None:
                while not watching.is_set():
                    if not await asyncio.to_thread(bed.eyes.links):
                        gaps.append(1)

            async with asyncio.TaskGroup() as group:
                group.create_task(watch())
                await half.converge(wishes(node.wish("a", path=bed.newer)))
                watching.set()
            await agrees(bed, half, 1)
            assert ids(half) != [old]
            os.getpgid(0)
            assert node.counted(half, "a") >= 100
            assert gaps == []

    asyncio.run(story())


@pytest.mark.parametrize("how", ["verifier", "attach"])
def test_failed_update_leaves_the_old_running(bed: Bed, how: str) -> None:
    async def story() -> None:
        node = Node(bed)
        async with node.agent() as half:
            await half.converge(wishes(node.wish("a")))
            before = ids(half)
            nowhere = {"enter": TracepointLink(name="syscalls/no_such_event")}
            wish = (
                node.wish("a", "enter", "bad", path=bed.newer)
                if how == "verifier"
                else node.wish("a", path=bed.newer, links=nowhere)
            )
            await half.converge(wishes(wish))
            (status,) = half.observed()
            assert status.condition.state is State.FAILED
            assert status.condition.reason == ("VerifierRejected" if how == "verifier" else "NotFound")
            await asyncio.to_thread(eventually, bed.eyes.programs, {before[0]: bed.name("enter")})
            assert bed.eyes.links() == before
            log = "\n".join(await half.log(Name("a")))
            assert ("R1 invalid mem access" in log) == (how == "verifier")

    asyncio.run(story())


def test_links_and_globals_change(bed: Bed) -> None:
    async def story() -> None:
        node = Node(bed)
        async with node.agent() as half:
            await half.converge(wishes(node.wish("a")))
            before = ids(half)
            other = {"enter": TracepointLink(name="syscalls/sys_enter_getsid")}
            await half.converge(wishes(node.wish("a", links=other)))
            await agrees(bed, half, 1)
            assert ids(half) == before
            os.getsid(0)
            assert node.counted(half, "a") >= 1
            scaled = node.wish("a", global_data={"scale": (1000).to_bytes(4, "little")})
            await half.converge(wishes(scaled))
            await agrees(bed, half, 1)
            assert ids(half) != before
            os.getpgid(0)
            assert node.counted(half, "a") >= 1000

    asyncio.run(story())


def test_map_owner(bed: Bed) -> None:
    async def story() -> None:
        node = Node(bed)
        async with node.agent() as half:
            guest = node.wish("guest", "exit", map_owner=Name("owner"))
            await half.converge(wishes(node.wish("owner"), guest))
            if bed.flavour == "bpfman-rust":
                (status,) = [s for s in half.observed() if s.spec.name == "guest"]
                assert (status.condition.state, status.condition.reason) == (State.FAILED, "NotSupported")
                return
            await agrees(bed, half, 2)
            os.getpgid(0)
            assert node.counted(half, "owner", "exit") >= 1

    asyncio.run(story())


def test_same_tracepoint_for_two_programs_of_ours(bed: Bed) -> None:
    async def story() -> None:
        node = Node(bed)
        async with node.agent() as half:
            await half.converge(wishes(node.wish("a", links={"enter": ENTER}), node.wish("b", links={"enter": ENTER})))
            await agrees(bed, half, 2)
            assert len(bed.eyes.links()) == 2

    asyncio.run(story())
