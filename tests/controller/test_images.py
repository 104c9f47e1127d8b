"""Images' tags, resolved once for a whole fleet."""

from __future__ import annotations

import asyncio

from conductor.model.cluster import Document
from conductor.model.fleet import (
    KERNEL_PROGRAM,
)
from conductor.model.fleet_status import Phase
from tests.controller.stage import QUICK, Stage, a_spec
from tests.controller.stories import KP, UP, Tell, events
from tests.fakes.cluster_connection import FakeServer


def test_a_tag_is_asked_for_once_per_revision_and_pinned(told: Tell) -> None:
    async def story(stage: Stage, server: FakeServer) -> None:
        await stage.join("n1")
        digest = f"sha256:{'1' * 64}"
        stage.registry.tags["registry.example/tool:v1"] = digest
        image: Document = {"url": "registry.example/tool:v1", "pullSecret": "key"}
        spec = {**a_spec("A"), "source": {"wasm": {"image": image}}}
        async with stage.agents(), stage.leading():
            await stage.apply(UP, spec)
            await stage.until(UP, Phase.IDLE)
        stage.registry.tags["registry.example/tool:v1"] = f"sha256:{'2' * 64}"
        async with stage.agents(), stage.leading("n2"):
            await stage.apply(UP, {**spec, "updateStrategy": {**QUICK, "maxUnavailable": 2}})
            await asyncio.sleep(30)
        assert stage.registry.asked == [("registry.example/tool:v1", "key")]
        (revision,) = [item for key, item in server.api.objects.items() if "controllerrevisions" in key[0]]
        assert revision["data"]["spec"]["source"]["wasm"]["image"] == {**image, "digest": digest}
        assert "updateStrategy" not in revision["data"]["spec"]

    told(story)


def test_an_image_that_no_registry_has_is_asked_for_again_more_and_more_seldom(told: Tell) -> None:
    async def story(stage: Stage, _: FakeServer) -> None:
        await stage.join("n1")
        async with stage.agents(), stage.leading():
            await stage.apply(UP, a_spec("A", image="registry.example/tool:v1"))
            await asyncio.sleep(300)
            assert 3 < len(stage.registry.asked) < 12
            degraded = (await stage.status(UP)).condition("Degraded")
            assert degraded
            assert (degraded.status, degraded.reason) == (True, "ImageUnresolved")
            assert [reason for reason, _, _ in await events(stage)] == ["ImageUnresolved"]
            stage.registry.tags["registry.example/tool:v1"] = f"sha256:{'1' * 64}"
            await stage.until(UP, Phase.IDLE, within=400)

    told(story)


def test_a_slow_registry_holds_up_nobody_else(told: Tell) -> None:
    class Slow:
        async def resolve(self, url: str, *, pull_secret: str = "") -> str:
            del url, pull_secret
            await asyncio.sleep(3600)
            return ""

    async def story(stage: Stage, _: FakeServer) -> None:
        await stage.join("n1")
        stage.registry = Slow()  # type: ignore[assignment]
        async with stage.agents(), stage.leading():
            await stage.apply(KP, a_spec("A", KERNEL_PROGRAM, image="registry.example/slow:v1"))
            await stage.apply(UP, a_spec("A"))
            await stage.until(UP, Phase.IDLE, within=10)

    told(story)
