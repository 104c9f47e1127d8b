"""The same door before the real Program Manager: real runtime, store and disk, a fake kernel."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from conductor.api.grpc import serving
from conductor.api.peer import Gate
from conductor.client import Agent
from conductor.errors import (
    AlreadyExists,
    ConductorError,
    InvalidSpec,
    NotFound,
    NotYet,
    SourceHolds,
)
from conductor.managers.program import ProgramManager
from conductor.managers.registry import RegistryManager
from conductor.model.agent import WatchType
from conductor.model.grants import MapGrant
from conductor.model.ids import Name
from conductor.model.program import Source
from conductor.model.status import State
from tests.api.conftest import INFO
from tests.api.raw import ask, framed, text
from tests.managers.program_world import ProgramWorld, user

Story = Callable[[ProgramWorld, ProgramManager, Agent], Awaitable[None]]
MANIFEST = """
apiVersion: ebpfconductor.io/v1alpha1
kind: UserProgram
metadata: {name: from-file}
spec: {source: {builtin: plain}, config: {step: 2}}
"""


@asynccontextmanager
async def served(world: ProgramWorld) -> AsyncIterator[tuple[ProgramManager, Agent]]:
    """Serve one life of an agent in `world`."""
    path = world.folder / "agent.sock"
    async with (
        world.agent() as programs,
        serving(
            socket=path,
            programs=programs,
            registry=RegistryManager(builtins=world.builtins),
            images=world.image_manager,
            logs=world.logs,
            objects=world.state_dir().objects,
            bus=world.bus,
            info=lambda: INFO,
            gate=Gate(owner=os.getuid()),
        ),
        Agent.connect(path, timeout=10) as agent,
    ):
        yield programs, agent


def tell(folder: Path, story: Story) -> None:
    async def whole() -> None:
        world = ProgramWorld(folder)
        async with asyncio.timeout(30), served(world) as (programs, agent):
            await story(world, programs, agent)
        assert world.script.alive == 0

    asyncio.run(whole())


def test_a_program_lives_from_load_to_unload(tmp_path: Path) -> None:
    async def story(world: ProgramWorld, _: ProgramManager, agent: Agent) -> None:
        info = await agent.load("p", builtin="plain", config={"step": 2})
        assert (info.state, info.spec.config, info.source) == (State.RUNNING, {"step": 2}, Source.GRPC)
        assert (await agent.load("p", builtin="plain", config={"step": 2})).generation == info.generation
        with pytest.raises(AlreadyExists, match="update"):
            await agent.load("p", builtin="plain", config={"step": 3})
        updated = await agent.update("p", builtin="plain", config={"step": 3})
        assert (updated.generation, updated.spec.config) == (info.generation + 1, {"step": 3})
        assert (await agent.stop("p")).state is State.STOPPED
        assert (await agent.start("p")).state is State.RUNNING
        assert (await agent.restart("p")).state is State.RUNNING
        assert {cost.name for cost in (await agent.usage()).costs} == {"p"}
        await agent.unload("p")
        assert (await agent.list(), world.script.alive) == ((), 0)

    tell(tmp_path, story)


def test_a_kernel_half_comes_and_goes_with_its_program(tmp_path: Path) -> None:
    async def story(world: ProgramWorld, _: ProgramManager, agent: Agent) -> None:
        info = await agent.load("c", builtin="counter")
        assert info.state is State.RUNNING
        assert [m.name for m in info.maps] == ["counts"]
        (kernel,) = await agent.list_kernel()
        assert (kernel.needed_by, kernel.bytecode) == (("c",), "builtin:counter")
        assert kernel.functions[0].links[0].attach == "raw_syscalls/sys_enter"
        assert info.maps[0].program_id == kernel.functions[0].id
        assert info.spec.maps == ()
        await agent.unload("c")
        assert (await agent.list_kernel(), world.apps()) == ((), [])

    tell(tmp_path, story)


def test_refusals_reach_the_caller_as_they_were_raised(tmp_path: Path) -> None:
    async def story(_: ProgramWorld, programs: ProgramManager, agent: Agent) -> None:
        await programs.set_source(Source.FILE, [user("theirs")])
        for call, error, words in (
            (agent.load("x", builtin="nothing"), NotFound, "nothing"),
            (agent.load("x", builtin="plain", config={"step": "two"}), InvalidSpec, "config.step"),
            (agent.load("x", builtin="plain", config={"colour": 1}), InvalidSpec, "colour"),
            (agent.load("x", wasm="http://reg.example/x:1"), NotYet, ""),
            (agent.unload("theirs"), SourceHolds, "file"),
            (agent.unload("nobody"), NotFound, "nobody"),
            (agent.start("nobody"), NotFound, "nobody"),
            (agent.get_kernel("nobody"), NotFound, "nobody"),
        ):
            with pytest.raises(error) as refused:
                await call
            assert words in str(refused.value)
        assert [p.name for p in await agent.list()] == ["theirs"]

    tell(tmp_path, story)


def test_a_missing_map_is_waited_for_with_a_reason(tmp_path: Path) -> None:
    async def story(world: ProgramWorld, programs: ProgramManager, agent: Agent) -> None:
        grant = MapGrant(name="counts", kernel_program=Name("trace"), map="counts")
        info = await agent.load("w", builtin="counter", maps=[grant])
        assert (info.state, bool(info.condition.message)) == (State.WAITING, True)
        events = agent.watch("w")
        assert (await anext(events)).type is WatchType.ADDED
        assert (await anext(events)).type is WatchType.SYNCED
        await programs.apply([world.kernel_program()])
        async for event in events:
            if event.status is not None and event.status.state is State.RUNNING:
                break
        await events.aclose()

    tell(tmp_path, story)


def test_manifests_reach_both_halves(tmp_path: Path) -> None:
    async def story(_world: ProgramWorld, _: ProgramManager, agent: Agent) -> None:
        (tried,) = await agent.apply(MANIFEST, dry_run=True)
        assert (tried.action, await agent.list()) == ("created", ())
        assert (await agent.apply(MANIFEST))[0].action == "created"
        assert (await agent.apply(MANIFEST))[0].action == "unchanged"
        changed = (await agent.apply(MANIFEST.replace("step: 2", "step: 4")))[0]
        assert (changed.action, "+    step: 4" in changed.diff) == ("configured", True)
        assert (await agent.delete(MANIFEST))[0].action == "deleted"
        assert await agent.list() == ()

    tell(tmp_path, story)


def test_what_was_asked_for_is_there_after_a_restart(tmp_path: Path) -> None:
    async def whole() -> None:
        world = ProgramWorld(tmp_path)
        async with asyncio.timeout(20), served(world) as (_, agent):
            before = await agent.load("c", builtin="counter", metadata={"team": "net"}, limits={"series": "50"})
        async with asyncio.timeout(20), served(world) as (_, agent):
            await agent.load("c", builtin="counter", metadata={"team": "net"}, limits={"series": "50"})
            after = await agent.get("c")
            assert (after.spec, after.state, after.generation) == (before.spec, State.RUNNING, before.generation)

    asyncio.run(whole())


def test_twenty_callers_in_random_order_leave_nothing(tmp_path: Path) -> None:
    seed = 7

    async def story(world: ProgramWorld, _: ProgramManager, agent: Agent) -> None:
        tasks = {task.get_name() for task in asyncio.all_tasks()}
        async with asyncio.TaskGroup() as group:
            for number in range(20):
                group.create_task(_caller(agent, random.Random(seed + number)))
        for program in await agent.list():
            await agent.unload(program.name)
        assert (world.script.alive, world.apps(), await agent.list_kernel()) == (0, [], ())
        await asyncio.sleep(0.1)
        assert {task.get_name() for task in asyncio.all_tasks()} <= tasks

    tell(tmp_path, story)


async def _caller(agent: Agent, dice: random.Random) -> None:
    for _ in range(8):
        name, builtin = dice.choice(["a", "b", "c"]), dice.choice(["plain", "counter"])
        step = dice.choice([1, 2])
        call = dice.choice([agent.load, agent.update])
        try:
            if dice.random() < 0.3:
                await agent.unload(name)
            else:
                await call(name, builtin=builtin, config={"step": step})
        except ConductorError as refused:
            assert type(refused) in {AlreadyExists, NotFound, InvalidSpec}, repr(refused)  # noqa: PT017 - of many calls


def test_an_old_client_sees_the_real_program(tmp_path: Path) -> None:
    async def story(world: ProgramWorld, _: ProgramManager, agent: Agent) -> None:
        await agent.info()
        answer = await ask(
            world.folder / "agent.sock", "Load", framed(text(2, "plain") + b"\x2a\x0c\x0a\x08interval\x12\x00")
        )
        assert answer.message.startswith("metadata.interval")
        answer = await ask(
            world.folder / "agent.sock", "Load", framed(text(2, "plain") + b"\x2a\x0d\x0a\x08interval\x12\x011")
        )
        assert (answer.headers["grpc-status"], (await agent.get("plain")).spec.config) == ("0", {"interval": 1})

    tell(tmp_path, story)


def test_a_kernel_program_of_its_own_is_told(tmp_path: Path) -> None:
    async def story(world: ProgramWorld, programs: ProgramManager, agent: Agent) -> None:
        await programs.apply([world.kernel_program()])
        while (await agent.get_kernel("trace")).condition.state is not State.RUNNING:  # noqa: ASYNC110 - a fact outside
            await asyncio.sleep(0.01)
        told = await agent.get_kernel("trace")
        assert (told.needed_by, told.functions[0].name, told.digest[:7]) == ((), "on_enter", "sha256:")

    tell(tmp_path, story)
