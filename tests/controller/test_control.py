"""The controller over the fake cluster: what people write becomes what nodes are to run."""

from __future__ import annotations

import asyncio

from conductor.model.cluster import Document
from conductor.model.fleet import (
    CONTROLLER_REVISIONS,
    KERNEL_PROGRAM,
    NODE_STATES,
    USER_PROGRAM,
    USER_PROGRAMS,
    FleetKey,
)
from conductor.model.fleet_status import Phase
from tests.controller.stage import Stage, a_spec
from tests.controller.stories import KP, UP, Tell, events
from tests.fakes.cluster_connection import FakeServer


def test_what_is_applied_comes_to_all_nodes(told: Tell) -> None:
    async def story(stage: Stage, _: FakeServer) -> None:
        await stage.join("n1", "n2", "n3")
        async with stage.agents(), stage.leading():
            await stage.apply(UP, a_spec("A"))
            status = await stage.until(UP, Phase.IDLE)
            assert await stage.assigned(UP) == dict.fromkeys(["n1", "n2", "n3"], "A")
            await asyncio.sleep(2)
            assert (await stage.status(UP)).nodes.ready == status.nodes.desired == 3
            reasons = [reason for reason, _, _ in await events(stage)]
            assert reasons == ["CanaryRunning", "RollingOut", "RolloutComplete", "RolloutStarted"]

    told(story)


def test_both_halves_of_a_change_are_one_spec_write_per_node(told: Tell) -> None:
    async def story(stage: Stage, _: FakeServer) -> None:
        await stage.join("n1", "n2")
        async with stage.agents(), stage.leading():
            for version in "AB":
                await asyncio.sleep(5)
                before = {name: row.generation for name, row in (await stage.states()).items()}
                await stage.apply(KP, a_spec(version, KERNEL_PROGRAM))
                await stage.apply(UP, a_spec(version))
                await asyncio.sleep(5)
                assert {name: row.generation - before[name] for name, row in (await stage.states()).items()} == {
                    "n1": 1,
                    "n2": 1,
                }
                assert await stage.assigned(KP) == await stage.assigned(UP) == {"n1": version, "n2": version}

    told(story)


def test_what_a_canary_refuses_is_rolled_back_and_told_of(told: Tell) -> None:
    async def story(stage: Stage, _: FakeServer) -> None:
        await stage.join("n1", "n2", "n3")
        stage.bad.add(("*", "B"))
        async with stage.agents(), stage.leading():
            await stage.apply(UP, a_spec("A"))
            await stage.until(UP, Phase.IDLE)
            await stage.apply(UP, a_spec("B"))
            status = await stage.until(UP, Phase.ROLLED_BACK)
            assert status.failures[0].reason == "VerifierRejected"
            await asyncio.sleep(5)
            assert set((await stage.assigned(UP)).values()) == {"A"}
            (told,) = [
                note for reason, type_, note in await events(stage) if (reason, type_) == ("RolledBack", "Warning")
            ]
            assert "R1 is not a pointer" in told

    told(story)


def test_a_deletion_leaves_nothing(told: Tell) -> None:
    async def story(stage: Stage, server: FakeServer) -> None:
        await stage.join("n1", "n2")
        async with stage.agents(), stage.leading():
            for key in (KP, UP):
                await stage.apply(key, a_spec("A", key.kind))
                await stage.until(key, Phase.IDLE)
            for key in (KP, UP):
                await stage.delete(key)
                await stage.gone(key)
            await asyncio.sleep(1)
            kinds = {key[0].rpartition("/")[2] for key in server.api.objects}
            assert kinds == {"nodes", "nodestates", "events"}
            assert all(not row.spec for row in (await stage.states()).values())

    told(story)


def test_a_node_that_is_gone_is_cleaned_up_and_holds_nothing(told: Tell) -> None:
    async def story(stage: Stage, _: FakeServer) -> None:
        await stage.join("n1", "n2")
        stage.silent.add("n2")
        async with stage.agents(), stage.leading():
            await stage.apply(UP, a_spec("A", updateStrategy={"canary": 0, "maxUnavailable": 2}))
            await asyncio.sleep(5)
            assert await stage.assigned(UP) == {"n1": "A", "n2": "A"}
            await stage.leave("n2")
            await stage.until(UP, Phase.IDLE)
            assert set(await stage.states()) == {"n1"}
            await stage.delete(UP)
            await stage.gone(UP, within=5)

    told(story)


def test_a_node_that_says_nothing_holds_a_deletion_for_two_minutes(told: Tell) -> None:
    async def story(stage: Stage, _: FakeServer) -> None:
        await stage.join("n1")
        async with stage.agents(), stage.leading():
            await stage.apply(UP, a_spec("A"))
            await stage.until(UP, Phase.IDLE)
            stage.silent.add("n1")
            loop = asyncio.get_running_loop()
            began = loop.time()
            await stage.delete(UP)
            await stage.gone(UP, within=200)
            assert 110 < loop.time() - began < 130

    told(story)


def test_a_full_node_says_so_and_takes_the_next_when_there_is_room(told: Tell) -> None:
    async def story(stage: Stage, _: FakeServer) -> None:
        await stage.join("n1")
        keys = [FleetKey(USER_PROGRAM, f"p{i:02}") for i in range(65)]
        async with stage.agents(), stage.leading(writes_per_second=1000.0):
            for key in keys[:64]:
                await stage.apply(key, a_spec("A", updateStrategy={"canary": 0, "maxUnavailable": 1}))
            for key in keys[:64]:
                await stage.until(key, Phase.IDLE)
            await stage.apply(keys[64], a_spec("A"))
            await asyncio.sleep(5)
            degraded = (await stage.status(keys[64])).condition("Degraded")
            assert degraded
            assert degraded.reason == "NodesFull"
            await stage.delete(keys[0])
            await stage.until(keys[64], Phase.IDLE)

    told(story)


def test_what_somebody_else_changed_is_put_back(told: Tell) -> None:
    async def story(stage: Stage, _: FakeServer) -> None:
        await stage.join("n1")
        async with stage.agents(), stage.leading():
            await stage.apply(UP, a_spec("A"))
            await stage.until(UP, Phase.IDLE)
            await stage.admin.patch(NODE_STATES, "n1", {"spec": {"programs": []}})
            await asyncio.sleep(2)
            assert await stage.assigned(UP) == {"n1": "A"}
            await stage.admin.delete(NODE_STATES, "n1")
            await asyncio.sleep(2)
            assert await stage.assigned(UP) == {"n1": "A"}
            await stage.admin.patch(USER_PROGRAMS, "tool", {"status": None}, subresource="status")
            assert (await stage.until(UP, Phase.IDLE)).nodes.ready == 1

    told(story)


def test_a_conflict_is_read_again_and_decided_anew(told: Tell) -> None:
    async def story(stage: Stage, _: FakeServer) -> None:
        await stage.join("n1")
        async with stage.leading():
            await asyncio.sleep(1)
            await stage.apply(UP, a_spec("A", updateStrategy={"canary": 0}))
            for i in range(300):  # what is known of the node is always old by the time it is written
                await stage.admin.patch(NODE_STATES, "n1", {"metadata": {"annotations": {"i": str(i)}}})
                await asyncio.sleep(0)
            await asyncio.sleep(10)
            assert await stage.assigned(UP) == {"n1": "A"}

    told(story)


def test_revisions_of_others_are_left_alone(told: Tell) -> None:
    async def story(stage: Stage, _: FakeServer) -> None:
        theirs: Document = {"metadata": {"name": "daemon", "namespace": "default"}, "revision": 1, "data": {}}
        await stage.admin.create(CONTROLLER_REVISIONS, theirs)
        async with stage.leading():
            await asyncio.sleep(5)
        assert await stage.admin.get(CONTROLLER_REVISIONS, "daemon", namespace="default")

    told(story)
