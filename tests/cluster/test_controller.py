"""The controller at the real API server, under an agent's own rights and the chart's policies."""

from __future__ import annotations

import asyncio
import re

import pytest

from conductor.model.cluster import Document
from conductor.model.fleet import CONTROLLER_REVISIONS, KERNEL_PROGRAM, USER_PROGRAM, FleetKey
from conductor.model.fleet_status import Phase
from tests.cluster.fleet_stage import RealStage, told
from tests.cluster.testbed import Testbed
from tests.controller.stage import a_spec

pytestmark = pytest.mark.cluster
UP, KP = FleetKey(USER_PROGRAM, "tool"), FleetKey(KERNEL_PROGRAM, "tool")
NAMESPACE = "controller"
FLEET = ("n1", "n2", "n3")


def test_what_is_applied_comes_to_all_nodes_and_a_deletion_leaves_nothing(fleet_bed: Testbed) -> None:
    async def story(stage: RealStage) -> None:
        await stage.join(*FLEET)
        async with stage.agents(), stage.elected("n1"):
            await stage.apply(KP, a_spec("A", KERNEL_PROGRAM))
            await stage.apply(UP, a_spec("A"))
            for key in (KP, UP):
                await stage.until(key, Phase.IDLE)
                assert await stage.assigned(key) == dict.fromkeys(FLEET, "A")
            early = stage.counts["n1"].failures  # the server may learn of a new leader a moment after its first write
            for key in (KP, UP):
                await stage.delete(key)
            for key in (KP, UP):
                await stage.gone(key)
            assert all(not row.spec for row in (await stage.states()).values())
            left = await stage.admin.list(CONTROLLER_REVISIONS, lambda item: item, namespace=stage.namespace)
            assert not left.rows
        assert stage.counts["n1"].failures == early, "a right is missing, or something was refused"

    told(fleet_bed, NAMESPACE, story)


def test_a_canary_that_refuses_is_rolled_back_and_kubectl_tells_why(fleet_bed: Testbed) -> None:
    async def story(stage: RealStage) -> None:
        await stage.join(*FLEET)
        stage.bad.add(("*", "B"))
        async with stage.agents(), stage.elected("n2"):
            await stage.apply(UP, a_spec("A"))
            await stage.until(UP, Phase.IDLE)
            await stage.apply(UP, a_spec("B"))
            await stage.until(UP, Phase.ROLLED_BACK)
            await asyncio.sleep(2)
            assert await stage.assigned(UP) == dict.fromkeys(FLEET, "A")
            described = await asyncio.to_thread(fleet_bed.kubectl, "describe", "userprogram", "tool")
            assert "VerifierRejected: R1 is not a pointer" in described
            assert re.search(r"Warning\s+RolledBack", described)
            assert re.search(r"Normal\s+RolloutStarted", described)
            row = await asyncio.to_thread(fleet_bed.kubectl, "get", "up", "tool")
            assert "RolledBack" in row

    told(fleet_bed, NAMESPACE, story)


def test_a_paused_one_waits(fleet_bed: Testbed) -> None:
    async def story(stage: RealStage) -> None:
        await stage.join(*FLEET)
        async with stage.agents(), stage.elected("n1"):
            await stage.apply(UP, a_spec("A"))
            await stage.until(UP, Phase.IDLE)
            paused: Document = {"canary": 1, "soak": "0s", "pause": True}
            await stage.apply(UP, a_spec("B", updateStrategy=paused))
            await stage.until(UP, Phase.PAUSED)
            await asyncio.sleep(2)
            assert await stage.assigned(UP) == dict.fromkeys(FLEET, "A")
            await stage.apply(UP, a_spec("B", updateStrategy={**paused, "pause": False}))
            await stage.until(UP, Phase.IDLE, generation=3)
            assert await stage.assigned(UP) == dict.fromkeys(FLEET, "B")

    told(fleet_bed, NAMESPACE, story)


def test_a_node_that_is_gone_holds_nothing(fleet_bed: Testbed) -> None:
    async def story(stage: RealStage) -> None:
        await stage.join(*FLEET)
        stage.silent.add("n3")
        async with stage.agents(), stage.elected("n1"):
            await stage.apply(UP, a_spec("A", updateStrategy={"canary": 0, "maxUnavailable": 3}))
            await asyncio.sleep(2)
            await stage.leave("n3")
            await stage.until(UP, Phase.IDLE)
            await asyncio.sleep(1)
            assert set(await stage.states()) == {"n1", "n2"}
            await stage.delete(UP)
            await stage.gone(UP)

    told(fleet_bed, NAMESPACE, story)


def test_the_next_leader_goes_on_in_the_middle(fleet_bed: Testbed) -> None:
    async def story(stage: RealStage) -> None:
        await stage.join(*FLEET)
        async with stage.agents():
            async with stage.elected("n1"):
                await stage.apply(UP, a_spec("A"))
                await stage.until(UP, Phase.IDLE)
                await stage.apply(UP, a_spec("B", updateStrategy={"canary": 1, "soak": "3s"}))
                await stage.until(UP, Phase.SOAKING)
            async with stage.elected("n2"):
                await stage.until(UP, Phase.IDLE, generation=2)
                assert await stage.assigned(UP) == dict.fromkeys(FLEET, "B")

    told(fleet_bed, NAMESPACE, story)


def test_an_api_server_that_is_killed_and_comes_back_is_gone_on_with(fleet_bed: Testbed) -> None:
    async def story(stage: RealStage) -> None:
        await stage.join(*FLEET)
        async with stage.agents(), stage.leading("n1"):
            await stage.apply(UP, a_spec("A"))
            await stage.until(UP, Phase.CANARY)
            await asyncio.to_thread(fleet_bed.kill)
            await asyncio.to_thread(fleet_bed.compact)
            fleet_bed.api.launch()  # not in a thread: it would end with it
            await asyncio.to_thread(fleet_bed.wait)
            await stage.until(UP, Phase.IDLE, within=40)
            assert await stage.assigned(UP) == dict.fromkeys(FLEET, "A")

    told(fleet_bed, NAMESPACE, story, within=58)


def test_a_node_is_written_once_and_says_twice_at_most_per_change(fleet_bed: Testbed) -> None:
    async def story(stage: RealStage) -> None:
        await stage.join(*FLEET)
        async with stage.agents(), stage.elected("n1"):
            await stage.apply(KP, a_spec("A", KERNEL_PROGRAM))
            await stage.apply(UP, a_spec("A"))
            await stage.until(UP, Phase.IDLE)
            await stage.until(KP, Phase.IDLE)
            before = {name: row.generation for name, row in (await stage.states()).items()}
            await stage.apply(KP, a_spec("B", KERNEL_PROGRAM))
            await stage.apply(UP, a_spec("B"))
            await stage.until(UP, Phase.IDLE, generation=2)
            await stage.until(KP, Phase.IDLE, generation=2)
            writes = {name: row.generation - before[name] for name, row in (await stage.states()).items()}
            assert writes == dict.fromkeys(FLEET, 1)

    told(fleet_bed, NAMESPACE, story)
