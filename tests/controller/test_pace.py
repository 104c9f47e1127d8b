"""How much the controller writes, and how fast."""

from __future__ import annotations

import asyncio

from conductor.model.cluster import Document
from conductor.model.fleet import (
    USER_PROGRAM,
    FleetKey,
)
from conductor.model.fleet_status import Phase
from tests.controller.stage import Stage, a_spec
from tests.controller.stories import UP, Tell
from tests.fakes.cluster_connection import FakeServer


def test_a_deferred_count_is_written_at_last(told: Tell) -> None:
    async def story(stage: Stage, _: FakeServer) -> None:
        await stage.join(*[f"n{i}" for i in range(20)])
        async with stage.agents(), stage.leading():
            await stage.apply(UP, a_spec("A", updateStrategy={"canary": 0, "maxUnavailable": "100%"}))
            await stage.until(UP, Phase.IDLE)
            await asyncio.sleep(3)
            nodes = (await stage.status(UP)).nodes
            assert (nodes.ready, nodes.updated) == (20, 20)
            assert stage.counts["n1"].writes["WriteStatus"] < 8

    told(story)


def test_writes_are_paced(told: Tell) -> None:
    async def story(stage: Stage, _: FakeServer) -> None:
        await stage.join(*[f"n{i}" for i in range(60)])
        async with stage.leading(writes_per_second=10.0):
            await asyncio.sleep(3)
            assert 20 <= len(await stage.states()) <= 41
            await asyncio.sleep(4)
            assert len(await stage.states()) == 60
        assert stage.counts["n1"].paced_seconds > 0

    told(story)


def test_bytes_are_paced(told: Tell) -> None:
    async def story(stage: Stage, _: FakeServer) -> None:
        await stage.join(*[f"n{i}" for i in range(40)])
        async with stage.leading(bytes_per_second=1000.0):
            await asyncio.sleep(1)
            assert len(await stage.states()) < 25

    told(story)


def test_a_failure_is_looked_at_while_a_wide_change_is_under_way(told: Tell) -> None:
    async def story(stage: Stage, _: FakeServer) -> None:
        await stage.join(*[f"n{i:03}" for i in range(400)])
        wide: Document = {"canary": 0, "maxUnavailable": "100%"}
        async with stage.agents(), stage.leading():
            await asyncio.sleep(15)
            await stage.apply(UP, a_spec("A", updateStrategy=wide))
            await asyncio.sleep(1)
            stage.bad.add(("*", "A"))
            await stage.until(UP, Phase.ROLLED_BACK, within=5)
            assert len(await stage.assigned(UP)) < 250, "it did not go to all of them first"

    told(story)


def test_many_programs_share_how_often_counts_are_written(told: Tell) -> None:
    async def story(stage: Stage, _: FakeServer) -> None:
        await stage.join(*[f"n{i}" for i in range(12)])
        keys = [FleetKey(USER_PROGRAM, f"p{i:02}") for i in range(30)]
        async with stage.agents(), stage.leading():
            for key in keys:
                await stage.apply(key, a_spec("A"))
            for key in keys:
                await stage.until(key, Phase.IDLE, within=60)
            await asyncio.sleep(5)
            assert all([(await stage.status(key)).nodes.ready == 12 for key in keys])
            # Four that matter each (canary, soak, rolling, done), and few of the twelve steps of counts.
            assert stage.counts["n1"].writes["WriteStatus"] < 8 * len(keys)

    told(story)
