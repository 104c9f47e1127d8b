"""kill -9 at random moments while clients change things."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from grpclib.exceptions import GRPCError, StreamTerminatedError

from conductor.bpf.ids import program_ids
from tests.loader.running import Client, Daemon, connected

pytestmark = [pytest.mark.kernel, pytest.mark.faults]
Compiled = Callable[[str], Path]
ROUNDS = 5


async def churn(daemon: Daemon, path: Path, rng: random.Random, seen: set[int]) -> None:
    """Load, attach and unload until the daemon is gone."""
    async with connected(daemon.socket) as client:
        mine: list[int] = []
        while True:
            if not mine or rng.random() < 0.5:
                loaded = await client.load(path, ("on_enter", 2), ("on_exit", 2))
                mine += [one.kernel_info.id for one in loaded]
                seen.update(mine)
                await client.tracepoint(loaded[0].kernel_info.id)
            else:
                await client.unload(mine.pop(rng.randrange(len(mine))))


async def killed(daemon: Daemon, path: Path, rng: random.Random, seen: set[int]) -> None:
    async def one(number: int) -> None:
        try:
            await churn(daemon, path, random.Random(rng.random() + number), seen)
        except (GRPCError, StreamTerminatedError, OSError):
            return

    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        for number in range(3):
            group.create_task(one(number))
        await asyncio.sleep(rng.uniform(0.02, 0.25))
        daemon.end(signal.SIGKILL)


def test_what_is_listed_is_pinned_and_what_is_pinned_is_listed(empty: Daemon, compiled: Compiled) -> None:
    seed = random.randrange(2**32)
    print("seed", seed)
    rng, seen = random.Random(seed), set[int]()

    async def look(client: Client) -> tuple[set[str], dict[int, bool]]:
        pins, ran = set[str](), {}
        for result in await client.list():
            id_, info = result.kernel_info.id, result.info
            assert info is not None
            pins |= {f"programs/{id_}", f"maps/{id_}", f"maps/{id_}/by_pid", f"maps/{id_}/total"}
            pins |= {f"links/{link}" for link in info.links}
            if info.links:
                before = await client.runs(id_)
                ran[id_] = await client.runs(id_) > before
            seen.add(id_)
        return pins, ran

    for _ in range(ROUNDS):
        asyncio.run(killed(empty, compiled("counters"), rng, seen))
        empty.start()
        pins, ran = empty.ask(look)
        assert empty.pins() == pins
        assert all(ran.values())
        assert "kept aside" not in empty.log

    async def unload(client: Client) -> None:
        await client.unload(*[result.kernel_info.id for result in await client.list()])

    empty.ask(unload)
    assert (empty.pins(), empty.records) == (set(), [])
    assert seen
    # The kernel frees programs a little later, after the last CPU left them.
    deadline = time.monotonic() + 20
    while left := seen & {*program_ids()}:
        assert time.monotonic() < deadline, left
        time.sleep(0.1)
