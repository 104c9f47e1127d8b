"""Many pulls of one image: in one store one download, from many stores one upstream fetch; few at once."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiohttp import web
from typing_extensions import override

from conductor.errors import ConductorError, ImageNotFound
from conductor.model.image import Credentials, PullPhase
from conductor.oci.landing import PullLimits
from conductor.oci.pack import wasm_image
from conductor.oci.puller import Pulled
from tests.fakes.pull_through import PullThrough
from tests.fakes.registry import FakeRegistry, Faults
from tests.oci.image_parts import CORE, digest_of
from tests.oci.pulling import ALWAYS, Place, place, push

BIG = CORE + b"\0\x80\x80\x40\4name" + bytes(1 << 20)


def test_pulls_of_one_image_at_once_share_everything(tmp_path: Path) -> None:
    async def story() -> None:
        async with place(tmp_path / "cache") as here:
            push(here.registry, wasm_image(BIG))
            async with asyncio.TaskGroup() as group:
                pulls = [group.create_task(here.pull(policy=ALWAYS)) for _ in range(100)]
            assert {task.result().content for task in pulls} == {digest_of(BIG)}
            gets = [seen.path for seen in here.registry.seen if seen.method == "GET"]
            assert len(gets) == len(set(gets)) == 3  # manifest, config, layer
            assert here.puller.counts.shared == 99
            assert here.puller.counts.fetched_bytes == len(BIG)
            assert here.store.counts.misses == 1

    asyncio.run(story())


def test_everybody_who_waits_hears_of_the_progress(tmp_path: Path) -> None:
    async def story() -> None:
        async with place(tmp_path / "cache") as here:
            push(here.registry, wasm_image(BIG))
            async with asyncio.TaskGroup() as group:
                for _ in range(3):
                    group.create_task(here.pull())
            done = [one.done for one in here.heard if one.phase is PullPhase.FETCH and one.total]
            assert done.count(len(BIG)) == 3

    asyncio.run(story())


@pytest.mark.parametrize("leaves", [0, 1])
def test_one_caller_who_leaves_does_not_stop_the_others(tmp_path: Path, leaves: int) -> None:
    async def story() -> None:
        async with place(tmp_path / "cache") as here:
            push(here.registry, wasm_image(BIG))
            here.registry.faults = Faults(silent=0.2)
            async with asyncio.TaskGroup() as group:
                pulls = [group.create_task(here.pull()) for _ in range(4)]
                await asyncio.sleep(0.3)  # in the middle of a blob
                pulls[leaves].cancel()
            assert [task.cancelled() for task in pulls].count(True) == 1
            assert {task.result().content for task in pulls if not task.cancelled()} == {digest_of(BIG)}
            assert list((tmp_path / "cache" / "tmp").iterdir()) == []
            assert here.store.bytes_used == len(BIG)

    asyncio.run(story())


def test_a_failure_is_shared_by_those_who_would_fail_the_same_way(tmp_path: Path) -> None:
    async def story() -> None:
        async with place(tmp_path / "cache") as here:
            push(here.registry, wasm_image(BIG))
            del here.registry.blobs[digest_of(BIG)]
            here.registry.faults = Faults(silent=0.1)
            failed = await failures(here, [None] * 20)
            assert failed == [ImageNotFound] * 20
            layers = [seen for seen in here.registry.seen if seen.path.endswith(digest_of(BIG))]
            assert len(layers) == 1

    asyncio.run(story())


def test_wrong_credentials_do_not_spoil_a_pull_with_the_right_ones(tmp_path: Path) -> None:
    async def story() -> None:
        async with (
            FakeRegistry.serving(users={"a": "secret"}) as registry,
            place(tmp_path / "cache", registry=registry) as here,
        ):
            digest = push(registry, wasm_image(BIG))
            results: list[str] = []

            async def pull(password: str) -> None:
                try:
                    pulled = await here.pull(f"team/tool@{digest}", credentials=Credentials("a", password))
                except ConductorError as exc:
                    results.append(exc.reason)
                else:
                    results.append(pulled.content)

            async with asyncio.TaskGroup() as group:
                group.create_task(pull("wrong"))
                group.create_task(pull("secret"))
            assert sorted(results) == ["RegistryRefused", digest_of(BIG)]

    asyncio.run(story())


@dataclass
class Counting(FakeRegistry):
    """Counts the blobs that are under way at once."""

    running: int = 0
    most: int = 0

    @override
    async def _blob(self, request: web.Request, _repository: str, name: str) -> web.StreamResponse:
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            return await super()._blob(request, _repository, name)
        finally:
            self.running -= 1


def test_few_downloads_run_at_once(tmp_path: Path) -> None:
    async def story() -> None:
        async with (
            Counting.serving() as registry,
            place(tmp_path / "cache", registry=registry, pull_limits=PullLimits(downloads=2)) as here,
        ):
            for i in range(6):
                push(registry, wasm_image(CORE + bytes([0, 2, 1, 65 + i])), name=f"team/tool{i}")
            registry.faults = Faults(silent=0.05)
            async with asyncio.TaskGroup() as group:
                for i in range(6):
                    group.create_task(here.pull(f"team/tool{i}:v1"))
            assert isinstance(registry, Counting)
            assert registry.most == 2

    asyncio.run(story())


def test_a_hundred_nodes_behind_one_mirror_cost_one_upstream_fetch(tmp_path: Path) -> None:
    async def story() -> None:
        async with FakeRegistry.serving() as upstream, PullThrough.serving(upstream=upstream.address) as mirror:
            digest = push(upstream, wasm_image(BIG))
            registries = f'[registry."{upstream.address}"]\nmirrors = ["{mirror.address}"]\nmirror_tags = true\n'
            async with AsyncExitStack() as stack:
                nodes = [
                    await stack.enter_async_context(place(tmp_path / str(i), registry=upstream, registries=registries))
                    for i in range(100)
                ]
                async with asyncio.TaskGroup() as group:
                    pulls = [group.create_task(twice(node)) for node in nodes]
                assert {task.result().digest for task in pulls} == {digest}
            assert upstream.count("/blobs/") == {"GET": 2}
            assert upstream.count("/manifests/") == {"GET": 1}
            assert mirror.count(digest_of(BIG))["GET"] == 100

    asyncio.run(story())


async def twice(node: Place) -> Pulled:
    """Two programs of one node start with the same image."""
    async with asyncio.TaskGroup() as group:
        pulls = [group.create_task(node.pull()) for _ in range(2)]
    return pulls[0].result()


async def failures(here: Place, credentials: list[Credentials | None]) -> list[type[ConductorError]]:
    found: list[type[ConductorError]] = []

    async def pull(one: Credentials | None) -> None:
        try:
            await here.pull(credentials=one)
        except ConductorError as exc:
            found.append(type(exc))

    async with asyncio.TaskGroup() as group:
        for one in credentials:
            group.create_task(pull(one))
    return found
