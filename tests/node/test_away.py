"""The API server is away: what runs goes on, also over a restart of the agent."""

from __future__ import annotations

from conductor.model.status import State
from tests.managers.program_world import until
from tests.node.world import NodeWorld


async def test_programs_go_on_and_it_is_said(world: NodeWorld) -> None:
    async with world.running() as (programs, node):
        world.assign(world.user("one"))
        await until(lambda: world.rows() == {"one": "Running"})
        world.server.stop()
        await until(lambda: not node.is_connected)
        assert "the API server is away" in node.problems()[0]
        assert "what runs goes on" in node.problems()[0]
        assert [status.state for status in programs.observed()] == [State.RUNNING]
        world.server.start()
        await until(lambda: node.problems() == (), seconds=40)


async def test_an_agent_that_starts_meanwhile_runs_what_it_ran(world: NodeWorld) -> None:
    async with world.running():
        world.assign(world.user("one"), world.kernel("trace"))
        await until(lambda: world.rows() == {"one": "Running", "trace": "Running"})
    world.server.stop()
    async with world.running() as (programs, node):
        await until(lambda: [status.state for status in programs.observed()] == [State.RUNNING])
        await until(lambda: [status.state for status in programs.kernel()] == [State.RUNNING])
        assert not node.is_connected
        assert node.revisions.fetched == 0


async def test_what_was_assigned_meanwhile_is_done_once_it_is_back(world: NodeWorld) -> None:
    one, two = world.user("one"), world.user("two")
    async with world.running():
        world.assign(one)
        await until(lambda: world.rows() == {"one": "Running"})
    world.server.stop()
    world.assign(two)
    async with world.running() as (programs, node):
        await until(lambda: [status.name for status in programs.observed()] == ["one"])
        world.server.start()
        await until(lambda: world.rows() == {"two": "Running"}, seconds=40)
        assert node.revisions.fetched == 1, "each revision is fetched once"


async def test_a_damaged_copy_is_fetched_again(world: NodeWorld) -> None:
    async with world.running():
        world.assign(world.user("one"))
        await until(lambda: world.rows() == {"one": "Running"})
    (kept,) = (world.folder / "revisions").glob("*.json")
    kept.write_text(kept.read_text()[:-20])
    async with world.running() as (programs, node):
        await until(lambda: node.is_connected and node.revisions.fetched == 1)
        assert [status.name for status in programs.observed()] == ["one"]


async def test_an_api_server_that_knows_no_nodestates_unloads_nothing(world: NodeWorld) -> None:
    async with world.running():
        world.assign(world.user("one"))
        await until(lambda: world.rows() == {"one": "Running"})
    world.server.api.refuse = lambda _who, request: "nodestates" in request.path
    async with world.running() as (programs, node):
        await until(lambda: "refuses this agent" in "".join(node.problems()))
        assert [status.name for status in programs.observed()] == ["one"]
