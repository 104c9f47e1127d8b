"""Scripts talk to an agent: every method, over a real socket, before the in-memory manager."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import aclosing, contextmanager
from pathlib import Path

import pytest

from conductor.client import Agent
from conductor.client.channel import AgentChannel
from conductor.errors import (
    AgentUnreachable,
    AlreadyExists,
    DeadlineExceeded,
    ImageNotFound,
    InvalidSpec,
    NameTaken,
    NotFound,
    SourceHolds,
)
from conductor.model.agent import WatchType
from conductor.model.grants import Access, MapGrant
from conductor.model.ids import Name
from conductor.model.image import Credentials, ImageKind, PullPhase, PullProgress
from conductor.model.kernel import PullPolicy
from conductor.model.program import BuiltinSource, ProgramType, Source, UserProgramSpec
from conductor.model.status import State
from tests.api.conftest import AVAILABLE, INFO, House, tell

MANIFEST = """
apiVersion: ebpfconductor.io/v1alpha1
kind: UserProgram
metadata: {name: counter}
spec:
  source: {builtin: service_map}
  config: {interval: 5}
"""


def test_load_answers_the_running_program() -> None:
    async def story(_: House, agent: Agent) -> None:
        info = await agent.load("service_map", config={"interval": 5}, metadata={"team": "net"})
        assert (info.name, info.state, info.spec.config) == ("service_map", State.RUNNING, {"interval": 5})
        assert (info.source, info.spec.metadata) == (Source.GRPC, {"team": "net"})

    tell(story)


def test_grants_reach_the_manager_and_come_back_with_program_ids() -> None:
    async def story(_: House, agent: Agent) -> None:
        grant = MapGrant(name="flows", kernel_program=Name("k1"), map="conns", access=Access.READ_WRITE)
        info = await agent.load("service_map", maps=[grant])
        assert info.spec.maps == (grant,)
        assert [m.program_id for m in info.maps] == [100]

    tell(story)


def test_a_failed_program_is_an_answer_with_its_reason() -> None:
    async def story(_: House, agent: Agent) -> None:
        info = await agent.load("b1", builtin="broken")
        assert (info.state, info.condition.reason) == (State.FAILED, "Broken")

    tell(story)


def test_load_gives_up_at_the_deadline_and_the_work_goes_on() -> None:
    async def story(_: House, agent: Agent) -> None:
        with pytest.raises(DeadlineExceeded, match="work goes on"):
            await agent.load("slow", config={"delay": 0.6}, timeout=0.3)
        assert (await agent.get("slow")).state is State.INITIALIZED
        await asyncio.sleep(0.6)
        assert (await agent.get("slow")).state is State.RUNNING

    tell(story)


def test_refusals_are_the_errors_that_were_raised() -> None:
    async def story(here: House, agent: Agent) -> None:
        here.programs.hold(UserProgramSpec(name=Name("theirs"), source=BuiltinSource(name="slow")), Source.CLUSTER)
        await agent.load("service_map")
        with pytest.raises(AlreadyExists, match="use Update"):
            await agent.load("service_map", config={"interval": 9})
        with pytest.raises(NameTaken, match="cluster"):
            await agent.load("theirs", builtin="slow")
        with pytest.raises(SourceHolds):
            await agent.unload("theirs")
        with pytest.raises(NotFound, match="conductor list"):
            await agent.get("nobody")
        with pytest.raises(InvalidSpec) as refused:
            await agent.load("m", builtin="service_map", config={"interval": 0})
        assert (refused.value.field, refused.value.problem) == ("config.interval", "0 is no positive number")

    tell(story)


@contextmanager
def silent(path: Path) -> Iterator[None]:
    """A socket that takes connections, as the kernel does for a process that is stopped, and says nothing."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()
        yield


def test_an_agent_that_says_nothing_is_unreachable(tmp_path: Path) -> None:
    async def story() -> None:
        channel = AgentChannel(socket=tmp_path / "agent.sock", patience=0.2)
        with pytest.raises(AgentUnreachable, match=r"says nothing for 0.2 s: it is stopped \(kill -CONT"):
            await channel.connect()
        channel.close()

    with silent(tmp_path / "agent.sock"):
        asyncio.run(story())


def test_a_call_that_outlives_its_deadline_tells_a_silent_agent_from_one_at_work(tmp_path: Path) -> None:
    async def story() -> None:
        channel = AgentChannel(socket=tmp_path / "agent.sock")
        agent = Agent(channel=channel, timeout=0.1)  # connects with the first call, as after a lost connection
        with pytest.raises(AgentUnreachable, match="says nothing for 1 s"):
            await agent.list()
        channel.close()

    with silent(tmp_path / "agent.sock"):
        asyncio.run(story())


def test_fifty_loads_at_once_are_one_program() -> None:
    async def story(here: House, agent: Agent) -> None:
        async with asyncio.TaskGroup() as group:
            loads = [group.create_task(agent.load("slow", config={"delay": 0.1})) for _ in range(50)]
        assert {load.result().state for load in loads} == {State.RUNNING}
        assert len(here.programs.observed()) == 1

    tell(story)


def test_list_selects_by_type_and_metadata() -> None:
    async def story(_: House, agent: Agent) -> None:
        await agent.load("service_map", metadata={"team": "net", "tier": "1"})
        await agent.load("host_pressure", metadata={"team": "os"})
        assert [p.name for p in await agent.list()] == ["host_pressure", "service_map"]
        assert [p.name for p in await agent.list(ProgramType.BUILTIN, metadata={"team": "net"})] == ["service_map"]
        assert await agent.list(ProgramType.WASM) == ()
        assert await agent.list(metadata={"team": "net", "tier": "2"}) == ()

    tell(story)


def test_a_program_is_updated_stopped_started_restarted_unloaded() -> None:
    async def story(here: House, agent: Agent) -> None:
        await agent.load("service_map")
        updated = await agent.update("service_map", config={"interval": 1}, limits={"memory": "32Mi"}, overlap=False)
        assert (updated.generation, updated.spec.limits.memory) == (2, 32 << 20)
        assert here.programs.updates == [(False, True)]
        assert (await agent.stop("service_map")).state is State.STOPPED
        assert (await agent.start("service_map")).state is State.RUNNING
        assert (await agent.restart("service_map")).restarts == 1
        await agent.unload("service_map")
        assert await agent.list() == ()

    tell(story)


def test_watch_tells_the_present_then_changes() -> None:
    async def story(_: House, agent: Agent) -> None:
        await agent.load("service_map")
        events = agent.watch()
        assert (await anext(events)).type is WatchType.ADDED
        assert (await anext(events)).type is WatchType.SYNCED
        await agent.load("host_pressure")
        await agent.unload("service_map")
        told = [await anext(events) for _ in range(3)]
        await events.aclose()
        assert [(e.type.value, e.status and e.status.name) for e in told] == [
            ("ADDED", "host_pressure"),
            ("MODIFIED", "host_pressure"),
            ("DELETED", "service_map"),
        ]

    tell(story)


def test_a_watch_that_was_left_ends_at_the_agent_too() -> None:
    async def story(here: House, agent: Agent) -> None:
        async with aclosing(agent.watch()) as events:
            async for event in events:
                assert (event.type, here.server.counts.in_flight) == (WatchType.SYNCED, 1)
                break
        await agent.info()
        assert here.server.counts.in_flight == 0

    tell(story)


def test_watch_of_one_name_hears_of_no_other() -> None:
    async def story(_: House, agent: Agent) -> None:
        events = agent.watch("service_map")
        assert (await anext(events)).type is WatchType.SYNCED
        await agent.load("host_pressure")
        await agent.load("service_map")
        event = await anext(events)
        await events.aclose()
        assert event.status is not None
        assert event.status.name == "service_map"

    tell(story)


def test_logs_are_told_and_followed() -> None:
    async def story(here: House, agent: Agent) -> None:
        await agent.load("service_map")
        write = here.logs.sink(Name("service_map"), 100)
        for n in range(3):
            write("info", f"line {n}")
        assert [line.message async for line in agent.logs("service_map", tail=2)] == ["line 1", "line 2"]
        lines = agent.logs("service_map", follow=True, tail=1)
        assert (await anext(lines)).message == "line 2"
        write("warning", "more")
        line = await anext(lines)
        await lines.aclose()
        assert (line.level, line.message, line.program) == ("warning", "more", "service_map")
        with pytest.raises(NotFound):
            await anext(agent.logs("nobody"))

    tell(story)


def test_the_agent_tells_of_itself() -> None:
    async def story(_: House, agent: Agent) -> None:
        await agent.load("service_map")
        assert await agent.info() == INFO
        (available,) = await agent.list_available()
        assert available == AVAILABLE
        usage = await agent.usage()
        assert (usage.costs[0].cpu_seconds, usage.costs[0].kernel_runs) == (0.5, None)
        assert usage.states == {"service_map": State.RUNNING}
        with pytest.raises(NotFound):
            await agent.usage("nobody")

    tell(story)


def test_manifests_are_tried_applied_and_deleted() -> None:
    async def story(_: House, agent: Agent) -> None:
        (tried,) = await agent.apply(MANIFEST, dry_run=True)
        assert (tried.action, await agent.list()) == ("created", ())
        (created,) = await agent.apply(MANIFEST)
        assert (created.kind, created.name, created.action) == ("UserProgram", "counter", "created")
        (changed,) = await agent.apply(MANIFEST.replace("5", "7"), dry_run=True)
        assert changed.action == "configured"
        assert "-    interval: 5\n+    interval: 7\n" in changed.diff
        (deleted,) = await agent.delete(MANIFEST)
        assert (deleted.action, await agent.list()) == ("deleted", ())

    tell(story)


def test_kernel_programs_are_told() -> None:
    async def story(_: House, agent: Agent) -> None:
        await agent.apply(
            "apiVersion: ebpfconductor.io/v1alpha1\nkind: KernelProgram\nmetadata: {name: syscalls}\nspec:\n"
            "  bytecode: {path: /abs/x.bpf.o}\n"
            "  programs: [{name: on_enter, type: TracePoint, tracepoint: {links: [{name: raw_syscalls/sys_enter}]}}]\n"
        )
        (told,) = await agent.list_kernel()
        assert told == await agent.get_kernel("syscalls")
        assert (told.bytecode, told.functions[0].links[0].attach) == ("/abs/x.bpf.o", "raw_syscalls/sys_enter")
        assert (told.functions[0].map_ids, told.functions[0].run_seconds) == ((3, 4), 0.25)
        assert (await agent.kernel_log("syscalls"))[-1] == "processed 2 insns"
        with pytest.raises(NotFound):
            await agent.kernel_log("nobody")

    tell(story)


def test_images_are_pulled_listed_and_pruned() -> None:
    async def story(house: House, agent: Agent) -> None:
        url = "registry.example/x:1"
        digest = house.images.push(url, b"module", ImageKind.WASM)
        async with aclosing(agent.watch(pulls=True)) as events:
            assert (await anext(events)).type is WatchType.SYNCED
            await agent.pull(url, pull_policy=PullPolicy.ALWAYS, credentials=("me", "hunter2"))
            told = await anext(events)
            assert (told.type, told.progress) == (WatchType.PULLING, PullProgress(url, PullPhase.RESOLVE))
        assert house.images.asked == [(url, PullPolicy.ALWAYS, Credentials("me", "hunter2"))]
        (held,) = await agent.images()
        assert (held.reference, held.digest, held.kind, held.in_use) == (url, digest, ImageKind.WASM, False)
        assert await agent.prune_images() == (held,)
        assert await agent.images() == ()
        with pytest.raises(ImageNotFound, match=r"registry\.example/none"):
            await agent.pull("registry.example/none:1")

    tell(story)


def test_an_agent_that_went_is_unreachable_and_named() -> None:
    async def story(here: House, agent: Agent) -> None:
        await agent.info()
        here.socket.rename(here.socket.with_suffix(".away"))
        for connection in tuple(here.server._connections):
            connection.end()
        await asyncio.sleep(0.05)
        with pytest.raises(AgentUnreachable, match=f"{here.socket}.*conductor up"):
            await agent.info()

    tell(story)
