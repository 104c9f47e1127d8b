"""Leaders that end, are cut off or lose their lease in the middle: the next one goes on from what is written."""

from __future__ import annotations

import asyncio

import pytest

from conductor.model.fleet import NODE_STATES, USER_PROGRAM, FleetKey
from conductor.model.fleet_status import Phase
from tests.controller.stage import Stage, a_spec
from tests.controller.stories import Tell
from tests.fakes.cluster_connection import FakeServer

UP = FleetKey(USER_PROGRAM, "tool")
SLOWLY = {"canary": 1, "soak": "20s", "maxUnavailable": 1}
NODES = ["n1", "n2", "n3", "n4"]


def writers(server: FakeServer) -> list[str]:
    """Who changed what is the leader's, in order."""
    return [who for who, _, _ in server.api.writes if who != "admin"]


@pytest.mark.parametrize("seconds", [0.05, 0.2, 0.4, 0.7, 10.0, 20.5, 20.7, 21.0])
def test_a_second_leader_goes_on_from_the_status_alone(told: Tell, seconds: float) -> None:
    async def story(stage: Stage, _: FakeServer) -> None:
        await stage.join(*NODES)
        async with stage.agents():
            async with stage.leading("one"):
                await stage.apply(UP, a_spec("A", updateStrategy={"canary": 0, "maxUnavailable": 4}))
                await stage.until(UP, Phase.IDLE)
                await stage.apply(UP, a_spec("B", updateStrategy=SLOWLY))
                await asyncio.sleep(seconds)
            async with stage.leading("two"):
                await stage.until(UP, Phase.IDLE, generation=2, within=60)
                assert await stage.assigned(UP) == dict.fromkeys(NODES, "B")

    told(story)


def test_a_soak_goes_on_under_the_next_leader(told: Tell) -> None:
    async def story(stage: Stage, _: FakeServer) -> None:
        await stage.join(*NODES)
        loop = asyncio.get_running_loop()
        async with stage.agents():
            async with stage.leading("one"):
                await stage.apply(UP, a_spec("A", updateStrategy={"canary": 1, "soak": "60s", "maxUnavailable": 4}))
                await stage.until(UP, Phase.SOAKING)
                began = loop.time()
                await asyncio.sleep(50)
            async with stage.leading("two"):
                await stage.until(UP, Phase.ROLLING, within=60)
                assert 58 < loop.time() - began < 63

    told(story)


def test_a_rollback_that_a_leader_did_not_live_to_see_comes_to_its_end(told: Tell) -> None:
    async def story(stage: Stage, _: FakeServer) -> None:
        await stage.join(*NODES)
        stage.bad.add(("n1", "B"))
        async with stage.agents():
            async with stage.leading("one"):
                await stage.apply(UP, a_spec("A"))
                await stage.until(UP, Phase.IDLE)
                await stage.apply(UP, a_spec("B"))
                await stage.until(UP, Phase.ROLLED_BACK)
            async with stage.leading("two"):
                await asyncio.sleep(5)
                assert (await stage.status(UP)).phase is Phase.ROLLED_BACK
                assert await stage.assigned(UP) == dict.fromkeys(NODES, "A")

    told(story)


def test_who_lost_the_lease_writes_nothing_more_and_ends(told: Tell) -> None:
    async def story(stage: Stage, server: FakeServer) -> None:
        await stage.join(*NODES)
        async with stage.agents(), stage.leading("one") as fence:
            await asyncio.sleep(1)
            fence.close()
            before = len(writers(server))
            await stage.apply(UP, a_spec("A"))
            await asyncio.sleep(30)
            assert len(writers(server)) == before
            async with stage.leading("two"):
                await stage.until(UP, Phase.IDLE)

    told(story)


def test_two_that_both_believe_to_lead_do_no_harm(told: Tell) -> None:
    async def story(stage: Stage, server: FakeServer) -> None:
        await stage.join(*NODES)
        async with stage.agents(), stage.leading("one"), stage.leading("two"):
            for version in "ABCABC":
                await stage.apply(UP, a_spec(version))
                await asyncio.sleep(10)
                assert await stage.assigned(UP) == dict.fromkeys(NODES, version)
        assert set(writers(server)) == {"one", "two"}

    told(story)


def test_it_ends_at_once_when_it_is_cancelled_while_the_server_is_frozen(told: Tell) -> None:
    async def story(stage: Stage, server: FakeServer) -> None:
        await stage.join(*NODES)
        loop = asyncio.get_running_loop()
        async with stage.leading("one"):
            await asyncio.sleep(1)
            await stage.apply(UP, a_spec("A"))
            server.frozen.stop()
            await asyncio.sleep(0.3)
            began = loop.time()
        assert loop.time() - began < 0.1
        server.frozen.go_on()

    told(story)


def test_a_server_that_goes_and_comes_back_without_history_is_gone_on_with(told: Tell) -> None:
    async def story(stage: Stage, server: FakeServer) -> None:
        await stage.join(*NODES)
        async with stage.agents(), stage.leading("one"):
            await stage.apply(UP, a_spec("A"))
            await asyncio.sleep(0.3)
            server.stop()
            await asyncio.sleep(60)
            server.api.compact()
            server.start()
            await stage.until(UP, Phase.IDLE, within=120)
            assert await stage.assigned(UP) == dict.fromkeys(NODES, "A")

    told(story)


def test_answers_that_get_lost_are_asked_for_again(told: Tell) -> None:
    async def story(stage: Stage, server: FakeServer) -> None:
        await stage.join(*NODES)
        lossy = server.client("lossy")
        stage._client = lambda _: lossy.cluster
        async with stage.agents(), stage.leading("one"):
            await asyncio.sleep(2)
            for version in "ABCDEF":
                lossy.loses = 3
                await stage.apply(UP, a_spec(version))
                await asyncio.sleep(30)
                assert await stage.assigned(UP) == dict.fromkeys(NODES, version)

    told(story)


def test_nothing_is_written_when_there_is_nothing_to_do(told: Tell) -> None:
    async def story(stage: Stage, server: FakeServer) -> None:
        await stage.join(*NODES)
        async with stage.agents():
            async with stage.leading("one"):
                await stage.apply(UP, a_spec("A"))
                await stage.until(UP, Phase.IDLE)
                await asyncio.sleep(5)
            before = len(server.api.writes)
            async with stage.leading("two"):
                await asyncio.sleep(600)
                await stage.admin.patch(NODE_STATES, "n1", {"metadata": {"annotations": {"a": "b"}}})
                await asyncio.sleep(600)
        assert len(server.api.writes) == before + 1

    told(story)
