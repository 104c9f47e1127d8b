"""Pull secrets reach the registry's client, and only where a registry is asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from conductor.errors import PullSecretNotAllowed
from conductor.managers.image import LENT_MOST, ImageManager
from conductor.model.events import Event
from conductor.model.ids import Name
from conductor.model.image import Credentials, ImageKind, Reference
from conductor.model.kernel import ImageObject, PullPolicy
from tests.fakes.images import FakeImages

NAME = Name("tool")
URL = "registry.example/tool:1"
LOGIN = Credentials("me", "hunter2")


class Secrets:
    """A cluster's pull secrets: one is permitted."""

    def __init__(self) -> None:
        self.reads = 0

    async def credentials(self, name: str, reference: Reference) -> Credentials | None:
        self.reads += 1
        if name != "permitted":
            raise PullSecretNotAllowed(f"{name} for {reference} may not be read")
        return LOGIN


async def publish(_event: Event) -> None:
    pass


async def test_a_pull_is_made_with_what_the_secret_says(tmp_path: Path) -> None:
    source, secrets = FakeImages(tmp_path), Secrets()
    source.push(URL, b"module", ImageKind.WASM)
    async with ImageManager.running(source=source, publish=publish, secrets=secrets) as images:
        pinned, _ = await images.pin(ImageObject(url=URL, pull_secret="permitted"), ImageKind.WASM, name=NAME)
        assert source.asked[-1][2] == LOGIN
        await images.pin(pinned, ImageKind.WASM, name=NAME)
        assert secrets.reads == 1, "it is here: no registry is asked, no secret is read"


async def test_one_that_is_not_permitted_is_the_reason(tmp_path: Path) -> None:
    async with ImageManager.running(source=FakeImages(tmp_path), publish=publish, secrets=Secrets()) as images:
        image = ImageObject(url=URL, pull_secret="other", pull_policy=PullPolicy.ALWAYS)
        with pytest.raises(PullSecretNotAllowed):
            await images.pin(image, ImageKind.WASM, name=NAME)


async def test_without_a_cluster_a_secret_means_nothing(tmp_path: Path) -> None:
    source = FakeImages(tmp_path)
    source.push(URL, b"module", ImageKind.WASM)
    async with ImageManager.running(source=source, publish=publish) as images:
        await images.pin(ImageObject(url=URL, pull_secret="any"), ImageKind.WASM, name=NAME)
    assert source.asked[-1][2] is None


async def test_what_is_lent_to_one_program_serves_no_other(tmp_path: Path) -> None:
    source = FakeImages(tmp_path)
    source.push(URL, b"module", ImageKind.WASM)
    always = ImageObject(url=URL, pull_policy=PullPolicy.ALWAYS)
    async with ImageManager.running(source=source, publish=publish) as images:
        images.lend(NAME, URL, LOGIN)
        await images.pin(always, ImageKind.WASM, name=Name("other"))
        assert source.asked[-1][2] is None
        await images.pin(always, ImageKind.WASM, name=NAME)
        assert source.asked[-1][2] == LOGIN


async def test_too_much_that_is_lent_drops_the_oldest_and_counts_it(tmp_path: Path) -> None:
    source = FakeImages(tmp_path)
    source.push(URL, b"module", ImageKind.WASM)
    async with ImageManager.running(source=source, publish=publish) as images:
        for n in range(LENT_MOST + 1):
            images.lend(Name(f"p{n}"), URL, LOGIN)
        assert images.counts()["image_credentials_dropped_total"] == 1
        await images.pin(ImageObject(url=URL), ImageKind.WASM, name=Name("p0"))
        assert source.asked[-1][2] is None
