"""Many callers at once: every answer is true, and nothing is left behind."""

from __future__ import annotations

import asyncio
import os
import random
import re
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from conductor.client import Agent
from conductor.errors import AlreadyExists, ConductorError, DeadlineExceeded, NotFound
from conductor.model.status import ProgramStatus, State
from tests.e2e.node import links_of, pins_of, programs_of

if TYPE_CHECKING:
    from tests.e2e.node import Node

LOADS, CLIENTS = 50, 20
ROUNDS = int(os.environ.get("CONDUCTOR_FAULT_ROUNDS", "5"))
SECONDS = 60.0 if ROUNDS >= 100 else 5.0
pytestmark = [pytest.mark.kernel, pytest.mark.slow, pytest.mark.timeout(180 + 4 * SECONDS)]
EXECUTOR = min(32, (os.cpu_count() or 1) + 4)
"""Threads that asyncio keeps for later once it has needed them; a program's thread would be one too many."""
NAMES = ("map-a", "map-b", "pressure-a", "pressure-b")
OUTCOMES = {State.RUNNING, State.STOPPED, State.WAITING}
TRUE_REFUSALS = (AlreadyExists, NotFound, DeadlineExceeded)


async def fifty(path: Path, intervals: list[float]) -> list[ProgramStatus | ConductorError]:
    """One Load of the same name on a connection of its own for each interval."""

    async def load(interval: float) -> ProgramStatus | ConductorError:
        async with Agent.connect(path) as agent:
            try:
                return await agent.load("one", builtin="service_map", config={"interval": interval})
            except ConductorError as refusal:
                return refusal

    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        tasks = [group.create_task(load(interval)) for interval in intervals]
    return [task.result() for task in tasks]


def test_fifty_loads_of_one_name_are_one_program_and_fifty_true_answers(clean: Node) -> None:
    answers = asyncio.run(fifty(clean.socket, [1.0] * LOADS))
    assert [answer for answer in answers if not isinstance(answer, ProgramStatus)] == []
    told = {(a.name, a.state, a.generation, a.maps) for a in answers if isinstance(a, ProgramStatus)}
    assert [(name, state, generation) for name, state, generation, _ in told] == [("one", State.RUNNING, 1)]
    (item,) = clean.json("kernel", "list")["items"]
    assert sorted(program["id"] for program in programs_of(clean)) == sorted(f["id"] for f in item["functions"])
    assert len(links_of(clean)) == len(item["functions"])


def test_loads_of_one_name_with_two_specs_have_one_winner_and_no_lie(clean: Node) -> None:
    answers = asyncio.run(fifty(clean.socket, [1.0, 2.0] * (LOADS // 2)))
    won = [answer for answer in answers if isinstance(answer, ProgramStatus)]
    lost = [answer for answer in answers if not isinstance(answer, ProgramStatus)]
    assert (len(won), len(lost)) == (LOADS // 2, LOADS // 2)
    assert {type(refusal) for refusal in lost} == {AlreadyExists}
    assert all("update" in str(refusal).lower() for refusal in lost)
    running = clean.json("get", "one")["config"]
    assert {status.spec.config["interval"] for status in won} == {running["interval"]}


@pytest.mark.faults
def test_twenty_clients_in_random_order_leave_nothing_behind(clean: Node) -> None:
    seed = int(os.environ.get("CONDUCTOR_FAULT_SEED", random.SystemRandom().randrange(1 << 32)))
    print(f"CONDUCTOR_FAULT_SEED={seed} for {SECONDS:g} s")
    asyncio.run(storm(clean.socket, seed, 1.0))  # what is opened once and kept is open from now on
    settle(clean)
    before = {role: descriptors(clean.pid(role)) for role in ("agent", "loader")}
    asked = asyncio.run(storm(clean.socket, seed + 1000, SECONDS))
    settle(clean)
    pids = {role: clean.pid(role) for role in before}
    clean.wait_for(lambda: {role: descriptors(pid) for role, pid in pids.items()} == before, f"as before: {before}", 15)
    clean.wait_for(lambda: max(map(threads, pids.values())) <= 1 + EXECUTOR, "without threads of programs", 15)
    assert programs_of(clean) == []
    assert pins_of(clean) == []
    assert [path.name for path in (clean.root / "state/agent/cells").iterdir()] == []
    assert [path.name for path in (clean.root / "state/loader").rglob("*.json")] == []
    assert "Traceback" not in clean.log
    print(dict(asked))
    assert min(asked[word] for word in ("load", "unload", "update")) > 10, asked


async def storm(path: Path, seed: int, seconds: float) -> Counter[str]:
    """Have all clients do anything at all; answer what was asked how often."""
    asked: Counter[str] = Counter()
    async with asyncio.timeout(seconds + 90), asyncio.TaskGroup() as group:
        for number in range(CLIENTS):
            group.create_task(client(path, random.Random(seed + number), seconds, asked))
    return asked


async def client(path: Path, chance: random.Random, seconds: float, asked: Counter[str]) -> None:
    until = asyncio.get_running_loop().time() + seconds
    while asyncio.get_running_loop().time() < until:
        async with Agent.connect(path) as agent:
            for _ in range(chance.randrange(1, 6)):
                word, name = (
                    chance.choice(("load", "load", "unload", "update", "restart", "stop")),
                    chance.choice(NAMES),
                )
                try:
                    await act(agent, word, name, chance)
                except TRUE_REFUSALS:
                    continue
                finally:
                    asked[word] += 1


async def act(agent: Agent, word: str, name: str, chance: random.Random) -> None:
    """One call and what must be true of its answer; now and then the caller does not wait for it."""
    timeout = chance.choice((0.02, 30.0, 30.0, 30.0))
    builtin = "service_map" if name.startswith("map") else "host_pressure"
    config = {"interval": chance.choice((0.5, 1.0))}
    if word == "unload":
        await agent.unload(name, timeout=timeout)
        return
    if word in {"restart", "stop"}:
        status = await getattr(agent, word)(name, timeout=timeout)
    else:
        status = await getattr(agent, word)(name, builtin=builtin, config=config, timeout=timeout)
        overtaken = word == "load" and status.generation > 1  # by an Update, while Load waited for an outcome
        assert status.spec.config == config or overtaken, status
    assert status.name == name
    assert status.state in OUTCOMES, status


def settle(node: Node) -> None:
    """Unload what the storm left loaded, and wait until the kernel holds none of it."""
    asyncio.run(unload_all(node.socket))
    node.wait_for(lambda: node.json("kernel", "list") == {"items": []} and not programs_of(node), "empty")


async def unload_all(path: Path) -> None:
    async with asyncio.timeout(60), Agent.connect(path) as agent:
        while programs := await agent.list():  # what a hasty caller did not wait for may still come
            for program in programs:
                with suppress(NotFound):
                    await agent.unload(program.name)


def descriptors(pid: int) -> Counter[str]:
    """What a process has open, by kind."""
    entries = Path(f"/proc/{pid}/fd").iterdir()
    return Counter(re.sub(r":?\[\d+\]|\d+", "", str(entry.readlink())) for entry in entries)


def threads(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/task").iterdir()))
