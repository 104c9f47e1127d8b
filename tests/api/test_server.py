"""The door itself: its socket, its limits, its end."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest
from grpclib.const import Status

from conductor.api.server import MAX_CONNECTIONS
from conductor.client import Agent
from conductor.errors import AgentStopping, AgentUnreachable, NotFound
from conductor.model.agent import WatchType
from conductor.model.ids import Name
from conductor.model.status import State
from tests.api.conftest import House, house, tell
from tests.api.raw import ask, framed, talking, text

HEALTH = (":path", "/grpc.health.v1.Health/Check")


def test_an_ending_agent_answers_what_runs_and_tells_watchers() -> None:
    async def whole() -> None:
        async with asyncio.timeout(10), house() as here, Agent.connect(here.socket) as agent:
            events = agent.watch()
            assert (await anext(events)).type is WatchType.SYNCED
            async with asyncio.TaskGroup() as group:
                load = group.create_task(agent.load("slow", config={"delay": 0.3}))
                await anext(events)
                stop = group.create_task(here.server._stop(5))
                with pytest.raises(AgentStopping):
                    await anext(events)
                assert (await load).state is State.RUNNING
                await stop
            with pytest.raises(AgentUnreachable):
                await agent.info()

    asyncio.run(whole())


def test_an_ending_agent_does_not_wait_for_ever() -> None:
    async def whole() -> None:
        async with asyncio.timeout(10), house() as here, Agent.connect(here.socket) as agent:
            async with asyncio.TaskGroup() as group:
                load = group.create_task(_refused(agent.load("slow", config={"delay": 2})))
                await asyncio.sleep(0.1)
                await here.server._stop(0.1)
            assert isinstance(load.result(), AgentStopping)

    asyncio.run(whole())


async def _refused(call: object) -> Exception | None:
    try:
        await call  # type: ignore[misc]
    except Exception as error:  # noqa: BLE001 -- the error is what is looked at
        return error
    return None


def test_more_connections_than_the_limit_are_closed() -> None:
    async def whole() -> None:
        async with asyncio.timeout(20), house() as here, AsyncExitStack() as stack:
            raws = [await stack.enter_async_context(talking(here.socket)) for _ in range(MAX_CONNECTIONS + 1)]
            stream = raws[-1].begin("Info")
            assert (await raws[-1].answer(stream)).headers == {}
            assert here.server.counts.connections_refused == 1
            await stack.aclose()
            await asyncio.sleep(0.05)
            assert here.server.counts.connections == 0
            assert (await ask(here.socket, "Info", framed(b""))).status is Status.OK

    asyncio.run(whole())


def test_a_watcher_that_falls_behind_is_let_go() -> None:
    async def story(here: House, agent: Agent) -> None:
        await agent.load("service_map", metadata={"padding": "x" * 500})
        async with talking(here.socket) as raw:
            stream = raw.begin("Watch")
            raw.send(stream, framed(b""), end=True)
            await asyncio.sleep(0.1)
            for _ in range(2000):
                await here.programs.touch(Name("service_map"))
                await asyncio.sleep(0)
            await asyncio.sleep(0.1)
            answer = await raw.answer(stream)
        assert (answer.status, answer.reason) == (Status.RESOURCE_EXHAUSTED, "BudgetExceeded")
        assert "watch again" in answer.message
        assert (await agent.get("service_map")).state is State.RUNNING

    tell(story)


def test_a_reader_that_reads_nothing_is_let_go() -> None:
    async def story(here: House, agent: Agent) -> None:
        await agent.load("service_map", metadata={"padding": "x" * 1000})
        async with talking(here.socket) as raw:
            stream = raw.begin("Watch")
            raw.send(stream, framed(b""), end=True)
            await asyncio.sleep(0.1)
            for _ in range(300):
                await here.programs.touch(Name("service_map"))
                await asyncio.sleep(0)
            await asyncio.sleep(0.5)
            answer = await raw.answer(stream)
        assert answer.status is Status.RESOURCE_EXHAUSTED
        assert "read nothing for 0.2 s" in answer.message

    tell(story, patience=0.2)


def test_a_caller_that_sends_nothing_is_let_go() -> None:
    async def story(here: House, _: Agent) -> None:
        async with talking(here.socket) as raw:
            stream = raw.begin("Load")
            raw.send(stream, b"\0\0\0")
            answer = await raw.answer(stream)
        assert answer.status is Status.DEADLINE_EXCEEDED

    tell(story, patience=0.2)


def test_health_follows_readiness() -> None:
    async def story(here: House, _: Agent) -> None:
        assert (await ask(here.socket, "", framed(b""), [HEALTH])).body == b"\x08\x01"
        here.programs.is_ready = False
        assert (await ask(here.socket, "", framed(text(1, "agent.v1.agent")), [HEALTH])).body == b"\x08\x02"
        assert (await ask(here.socket, "", framed(text(1, "x")), [HEALTH])).status is Status.NOT_FOUND

    tell(story)


def test_calls_are_counted_by_method_and_code() -> None:
    async def story(here: House, agent: Agent) -> None:
        await agent.info()
        with pytest.raises(NotFound):
            await agent.get("nobody")
        await ask(here.socket, "Nonsense", framed(b""))
        await asyncio.sleep(0.05)
        counts = here.server.counts
        assert dict(counts.finished) == {
            ("Check", "OK"): 1,  # a client's greeting
            ("Info", "OK"): 1,
            ("Get", "NOT_FOUND"): 1,
            ("unknown", "UNIMPLEMENTED"): 1,
        }
        assert sum(counts.buckets["Info"]) == 1
        assert 0 < counts.seconds["Info"] < 5
        assert counts.in_flight == 0

    tell(story)


def test_a_caller_that_goes_leaves_nothing_behind() -> None:
    async def story(here: House, agent: Agent) -> None:
        before = {task.get_name() for task in asyncio.all_tasks()}
        for method in ("Watch", "Load"):
            async with talking(here.socket) as raw:
                stream = raw.begin(method)
                raw.send(
                    stream, framed(text(2, "slow") + text(7, '{"delay":1}') if method == "Load" else b""), end=True
                )
                await asyncio.sleep(0.1)
        await asyncio.sleep(0.1)
        left = {task.get_name() for task in asyncio.all_tasks()} - before
        assert left == {"run slow"}
        await agent.info()

    tell(story)
