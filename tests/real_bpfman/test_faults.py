"""Kill daemon, agent or both at random moments: the daemon holds what was asked for, each attached once.

What a daemon's crash in the middle of a Load leaves in the kernel without a record of its own (an orphan) is expected
of both bpfman daemons, of Go's once in hundreds: they pin a program before they write its record. It runs nowhere; our
loader leaves none.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time

import pytest

from conductor.bpfman.flavour import Flavour
from conductor.managers.kernel_half import KernelHalf, KernelWish
from conductor.model.ids import Name
from conductor.model.status import State
from tests.real_bpfman.bed import Bed
from tests.real_bpfman.half import Node, attached

ROUNDS = int(os.environ.get("CONDUCTOR_FAULT_ROUNDS", "5"))
pytestmark = [pytest.mark.kernel, pytest.mark.slow, pytest.mark.faults, pytest.mark.timeout(60 + 30 * ROUNDS)]
PATIENCE = 40.0


@pytest.fixture
def chance() -> random.Random:
    seed = int(os.environ.get("CONDUCTOR_FAULT_SEED", random.SystemRandom().randrange(1 << 32)))
    print(f"CONDUCTOR_FAULT_SEED={seed} CONDUCTOR_FAULT_ROUNDS={ROUNDS}")
    return random.Random(seed)


def changed(node: Node, chance: random.Random, wishes: dict[Name, KernelWish]) -> dict[Name, KernelWish]:
    """Load, update or unload one of three programs."""
    name = Name(f"p{chance.randrange(3)}")
    if name in wishes and chance.random() < 0.5:
        return {other: wish for other, wish in wishes.items() if other != name}
    stems = chance.choice([("enter",), ("enter", "exit")])
    path = chance.choice([node.bed.object, node.bed.newer])
    return {**wishes, name: node.wish(name, *stems, path=path)}


async def settled(bed: Bed, half: KernelHalf) -> set[int]:
    """Wait until all run, each link is there once and no other; answer the orphans."""
    until = time.monotonic() + PATIENCE
    while True:
        states = {str(s.spec.name): s.condition for s in half.observed()}
        ids = {function.id for status in half.observed() for function in status.functions}
        programs, links = await asyncio.to_thread(lambda: (set(bed.eyes.programs()), bed.eyes.links()))
        running = all(condition.state is State.RUNNING for condition in states.values())
        beyond = programs - ids
        if (
            running
            and links == attached(half)
            and ids <= programs
            and (bed.flavour is not Flavour.LOADER or not beyond)
        ):
            return beyond
        assert time.monotonic() < until, (
            f"{states} {ids=} {programs=} {links=} {attached(half)=}\n{bed.daemon.log[-3000:]}"
        )
        await asyncio.sleep(0.2)


@pytest.mark.parametrize("who", ["daemon", "agent", "both"])
def test_killed_at_random_moments(bed: Bed, chance: random.Random, who: str) -> None:
    async def story() -> None:
        node, wishes = Node(bed), dict[Name, KernelWish]()
        orphans: set[int] = set()
        for _ in range(ROUNDS):
            wishes = changed(node, chance, wishes)
            delay = chance.uniform(0, 0.5)
            if who == "daemon":
                orphans |= await round_of_daemon(node, wishes, delay)
            else:
                orphans |= await round_of_agent(node, wishes, delay, with_daemon=who == "both")
        async with node.agent() as half:
            await half.converge({})
            orphans = await settled(bed, half)
        if orphans:
            print(f"orphans of {bed.flavour}: {sorted(orphans)}")
            bed.daemon.lose_everything()

    asyncio.run(story())


async def round_of_daemon(node: Node, wishes: dict[Name, KernelWish], delay: float) -> set[int]:
    async with node.agent() as half:
        async with asyncio.TaskGroup() as group:
            group.create_task(half.converge(wishes))
            await asyncio.sleep(delay)
            await asyncio.to_thread(node.bed.daemon.restart, signal.SIGKILL)
        return await settled(node.bed, half)


async def round_of_agent(node: Node, wishes: dict[Name, KernelWish], delay: float, *, with_daemon: bool) -> set[int]:
    """The agent's life is cut off in the middle of whatever it does; its records stay as they are at that moment."""
    async with asyncio.TaskGroup() as group:
        life = group.create_task(live(node, wishes))
        await asyncio.sleep(delay)
        if with_daemon:
            node.bed.daemon.end(signal.SIGKILL)
        kept = node.records.read_bytes() if node.records.exists() else None
        life.cancel()
    if kept is not None:
        node.records.write_bytes(kept)
    if with_daemon:
        node.bed.daemon.start()
    async with node.agent() as half:
        await half.converge(wishes)
        return await settled(node.bed, half)


async def live(node: Node, wishes: dict[Name, KernelWish]) -> None:
    async with node.agent() as half:
        await half.converge(wishes)
        await asyncio.Event().wait()
