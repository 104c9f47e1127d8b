"""Many clients at once."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from grpclib.exceptions import GRPCError

from conductor.errors import BudgetExceeded
from conductor.loader.worker import Worker
from conductor.proto.bpfman import v1 as pb
from tests.loader.running import Client, Daemon, connected

pytestmark = pytest.mark.kernel
Compiled = Callable[[str], Path]


def test_reads_do_not_wait_behind_loads(empty: Daemon, compiled: Compiled) -> None:
    async def race(client: Client) -> None:
        done: list[str] = []

        async def load() -> None:
            await client.load(compiled("counters"), ("on_enter", 2))
            done.append("load")

        async with asyncio.TaskGroup() as group:
            for _ in range(20):
                group.create_task(load())
            await asyncio.sleep(0.01)
            async with connected(empty.socket) as other:
                await other.list()
                done.append("list")
        assert done.index("list") < len(done) - 5

    empty.ask(race)


def test_changes_in_random_order_leave_nothing(empty: Daemon, compiled: Compiled) -> None:
    seed = random.randrange(2**32)
    print("seed", seed)

    async def client_of(number: int) -> None:
        rng = random.Random(seed + number)
        mine: list[int] = []
        async with connected(empty.socket) as client:
            for _ in range(12):
                act = rng.choice(["load", "attach", "unload", "list"])
                if act == "load" or not mine:
                    mine += [
                        one.kernel_info.id
                        for one in await client.load(compiled("counters"), ("on_enter", 2), ("on_exit", 2))
                    ]
                elif act == "attach":
                    try:
                        await client.tracepoint(rng.choice(mine))
                    except GRPCError as error:
                        assert "already, as link" in str(error.message)  # noqa: PT017
                elif act == "unload":
                    await client.unload(mine.pop(rng.randrange(len(mine))))
                else:
                    await client.list()
            await client.unload(*mine)

    async def all_of_them() -> None:
        async with asyncio.timeout(50), asyncio.TaskGroup() as group:
            for number in range(8):
                group.create_task(client_of(number))

    asyncio.run(all_of_them())
    assert (empty.pins(), empty.records) == (set(), [])


def test_a_client_that_leaves_takes_nothing_with_it(empty: Daemon, compiled: Compiled) -> None:
    """Its Load is whole or was never begun."""

    async def leave() -> None:
        async with connected(empty.socket) as client:
            request = pb.LoadRequest(
                bytecode=pb.BytecodeLocation(file=str(compiled("counters"))),
                info=[pb.LoadInfo(name="on_enter", program_type=pb.BpfmanProgramType(2))],
            )
            with pytest.raises((TimeoutError, GRPCError)):
                await client.bpfman.load(request, timeout=0.001)

    asyncio.run(leave())
    time.sleep(0.2)
    for result in empty.ask(lambda client: client.list()):
        assert f"maps/{result.kernel_info.id}/total" in empty.pins()


def test_no_descriptor_is_left_by_a_life(empty: Daemon, compiled: Compiled) -> None:
    assert empty.process is not None
    fds = Path(f"/proc/{empty.process.pid}/fd")

    async def life(client: Client) -> None:
        (loaded,) = await client.load(compiled("counters"), ("on_enter", 2))
        await client.tracepoint(loaded.kernel_info.id)
        await client.runs(loaded.kernel_info.id)
        await client.unload(loaded.kernel_info.id)

    async def fail(client: Client) -> None:
        for path, name in (("rejected", "bad"), ("counters", "nobody")):
            with pytest.raises(GRPCError):
                await client.load(compiled(path), (name, 2))

    def count() -> int:
        empty.ask(life)
        empty.ask(fail)
        time.sleep(0.05)
        return len(list(fds.iterdir()))

    count()
    assert count() >= count()


def test_the_worker_bounds_what_waits_and_finishes_what_has_begun() -> None:
    async def life() -> None:
        gate, began = threading.Event(), threading.Event()
        done: list[str] = []

        def first() -> None:
            began.set()
            gate.wait(10)
            done.append("first")

        async with asyncio.timeout(20), asyncio.TaskGroup() as group, Worker.running(waiting=2) as worker:
            group.create_task(worker.do(first))
            await asyncio.to_thread(began.wait, 10)
            left = group.create_task(worker.do(lambda: done.append("never")))
            await asyncio.sleep(0)
            with pytest.raises(BudgetExceeded, match="try again later"):
                await worker.do(lambda: None)
            left.cancel()
            await asyncio.sleep(0)
            gate.set()
            await worker.do(lambda: done.append("last"))
        assert done == ["first", "last"]

    asyncio.run(life())
