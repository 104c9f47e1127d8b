"""Twenty clients in random order leave nothing behind, and every answer is true."""

from __future__ import annotations

import asyncio
import random
import threading

from conductor.errors import AlreadyExists, ConductorError, NotFound
from conductor.managers.program import ProgramManager
from conductor.model.ids import Name
from conductor.model.manifest import USER_PROGRAM
from conductor.model.status import State
from tests.managers.program_world import ProgramWorld, until, user

CLIENTS, SECONDS, NAMES = 20, 3.0, ("a", "b", "c", "d")
SEED = 20_240_711
EXPECTED = (AlreadyExists, NotFound)


async def test_twenty_clients(world: ProgramWorld) -> None:
    threads = threading.active_count()
    async with world.agent() as programs:
        tasks = len(asyncio.all_tasks())
        faults: list[ConductorError] = []
        async with asyncio.TaskGroup() as group:
            for number in range(CLIENTS):
                group.create_task(client(programs, random.Random(SEED + number), faults))
        assert faults == []
        await until(lambda: programs._errands.going == 0)  # what cancelled callers left going
        for name in {status.spec.name for status in programs.observed()}:
            await programs.unload(name)
        await until(lambda: world.apps() == [] and programs.kernel() == ())
        assert not programs.observed()
        assert not programs.costs()
        assert world.script.alive == 0
        assert world.script.opened > 20
        assert world.pins.open_handles == 0
        assert {sink.program for sink in world.store.sinks()} == {""}
        assert len(programs._singles.locks) == 0
        await until(lambda: len(asyncio.all_tasks()) == tasks)
        assert not list((world.folder / "state" / "cells").iterdir())
    await until(lambda: threading.active_count() <= threads + executor_threads())
    assert not [t.name for t in threading.enumerate() if t.name.startswith("program:")]


async def client(programs: ProgramManager, rng: random.Random, faults: list[ConductorError]) -> None:
    """Do anything at all, and check what can be checked of the answer."""
    deadline = asyncio.get_running_loop().time() + SECONDS
    while asyncio.get_running_loop().time() < deadline:
        name = Name(rng.choice(NAMES))
        spec = user(name, "counter" if name in "ab" else "plain", step=rng.randrange(1, 4))
        try:
            async with asyncio.timeout(rng.choice((0.001, 0.05, 10, 10, 10))):
                await act(programs, rng, name, spec)
        except TimeoutError:
            pass
        except ConductorError as exc:
            if not isinstance(exc, EXPECTED):
                faults.append(exc)


async def act(programs: ProgramManager, rng: random.Random, name: Name, spec: object) -> None:
    match rng.randrange(9):
        case 0 | 1 | 2:
            status = await programs.load(spec)  # type: ignore[arg-type]
            assert status.spec.name == name
        case 3 | 4:
            await programs.unload(name)
        case 5:
            status = await programs.update(spec, overlap=rng.random() < 0.5)  # type: ignore[arg-type]
            assert status.condition.state in (State.RUNNING, State.STOPPED)
        case 6:
            await getattr(programs, rng.choice(("start", "stop", "restart")))(name)
        case 7:
            await programs.apply([spec])  # type: ignore[list-item]
        case _:
            await programs.delete([(USER_PROGRAM, name)])


def executor_threads() -> int:
    return sum(1 for thread in threading.enumerate() if thread.name.startswith("asyncio_"))
