"""kill -9 of the real loader, and ends of the agent, at random moments: afterwards exactly what is wished is there."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from conductor.errors import ConductorError
from conductor.managers.kernel_half import KernelHalf, KernelWish
from conductor.model.ids import Name
from tests.loader.running import Daemon
from tests.managers.kernel_node import CALLS, RUNNING, Node, run, state, until

ROUNDS = int(os.environ.get("CONDUCTOR_FAULT_ROUNDS", "5"))
pytestmark = [pytest.mark.kernel, pytest.mark.faults, pytest.mark.timeout(60 + 20 * ROUNDS)]


@pytest.fixture
def node(tmp_path: Path, bpffs: Path, compiled: Callable[[str], Path]) -> Iterator[Node]:
    daemon = Daemon(folder=tmp_path, bpffs=bpffs)
    daemon.start()
    yield Node(daemon, tmp_path, compiled)
    if daemon.process is not None:
        daemon.end(signal.SIGKILL)


def test_kills_at_random_moments_double_and_leak_nothing(node: Node) -> None:
    seed = int(os.environ.get("CONDUCTOR_FAULT_SEED", random.SystemRandom().randrange(1 << 32)))
    print(f"CONDUCTOR_FAULT_SEED={seed} CONDUCTOR_FAULT_ROUNDS={ROUNDS}")
    chance = random.Random(seed)

    async def story() -> None:
        for round_ in range(ROUNDS):
            wish = chance.choice([{}, {CALLS: node.wish(chance.choice([0, 1, 2]), round_ + 1)}])
            async with node.half() as half, asyncio.TaskGroup() as group:
                group.create_task(ask(half, wish))
                await asyncio.sleep(chance.uniform(0.0, 0.12))
                node.daemon.end(signal.SIGKILL)
                if chance.random() < 0.5:
                    node.daemon.start()
                    await asyncio.sleep(chance.uniform(0.0, 0.05))
            if node.daemon.process is None:
                node.daemon.start()
            await settles(node, wish)

    run(story(), seconds=30 + 20 * ROUNDS)


async def ask(half: KernelHalf, wish: dict[Name, KernelWish]) -> None:
    """Wish, and give up when a caller would."""
    try:
        async with asyncio.timeout(0.5):
            await half.converge(wish)
    except (ConductorError, TimeoutError):
        return


async def settles(node: Node, wish: dict[Name, KernelWish]) -> None:
    async with node.half(resync=0.5) as half:
        await half.converge(wish)
        count = 2 if wish else 0
        await until(lambda: (len(node.links()), len(node.programs())) == (count, count))
        await until(lambda: all(state(half) == RUNNING for _ in half.observed()))
        maps = {path.name for path in (node.daemon.bpffs / "maps").iterdir()}
        assert maps == node.programs()
