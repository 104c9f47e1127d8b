"""What every registry must do for the client, the fake too: what it does here is what the other tests build upon."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from conductor.errors import ImageDamaged, ImageNotFound, RegistryAway, RegistryRefused
from conductor.model.image import Credentials, Descriptor, Reference
from conductor.oci.client import RegistryClient
from tests.fakes.registry import digest_of
from tests.oci.asking import OCI_INDEX, OCI_MANIFEST, QUICK, Bucket, client_of, described
from tests.oci.registry.houses import PRIVATE, House

EMPTY = described(b"{}", "application/vnd.oci.empty.v1+json")
CONTENT = os.urandom(3 * QUICK.chunk + 5)
Story = Callable[[RegistryClient, Reference], Awaitable[None]]


def run(house: House, story: Story) -> None:
    """Tell a story with a client and a repository that nobody else uses."""

    async def told() -> None:
        async with client_of(house.text) as client:
            await story(client, house.reference(f"team/{secrets.token_hex(6)}:v1"))

    asyncio.run(told())


def body_of(layer: Descriptor, *, subject: Descriptor | None = None, note: str = "") -> bytes:
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "artifactType": "application/vnd.example.note",
        "config": EMPTY.printed(),
        "layers": [layer.printed()],
        "annotations": {"note": note},
    }
    return json.dumps(document | ({"subject": subject.printed()} if subject else {})).encode()


async def pushed(client: RegistryClient, ref: Reference, who: Credentials | None, body: bytes) -> Descriptor:
    """Push an image whose one layer is `body`."""
    await client.push_blob(ref, b"{}", credentials=who)
    layer = await client.push_blob(ref, body, media_type="application/wasm", credentials=who)
    manifest = body_of(layer)
    digest = await client.push_manifest(ref, manifest, OCI_MANIFEST, credentials=who)
    return Descriptor(OCI_MANIFEST, digest, len(manifest))


def test_what_is_pushed_comes_back_by_tag_and_by_digest(house: House) -> None:
    async def story(client: RegistryClient, ref: Reference) -> None:
        who = house.credentials
        image = await pushed(client, ref, who, CONTENT)
        for asked in (ref, ref.at(image.digest)):
            found = await client.manifest(asked, credentials=who)
            assert (found.digest, found.media_type) == (image.digest, OCI_MANIFEST)
            assert await client.head(asked, credentials=who) == image.digest
        (layer,) = found.parsed["layers"]
        for start in (0, 1, len(CONTENT) - 1):
            bucket = Bucket()
            await client.blob(ref, Descriptor.parse(layer, "layer"), bucket, start=start, credentials=who)
            assert bucket.body == CONTENT[start:]

    run(house, story)


def test_a_blob_is_pushed_in_parts_and_once(house: House, tmp_path: Path) -> None:
    async def story(client: RegistryClient, ref: Reference) -> None:
        (tmp_path / "module").write_bytes(CONTENT)
        done: list[int] = []
        for _ in range(2):
            await client.push_blob(
                ref, tmp_path / "module", credentials=house.credentials, progress=lambda at, _all: done.append(at)
            )
        assert done == sorted(done)
        assert done[-2:] == [len(CONTENT)] * 2
        assert done.count(len(CONTENT)) <= 3  # the second time nothing was sent
        assert await client.has_blob(ref, digest_of(CONTENT), credentials=house.credentials)

    run(house, story)


def test_what_is_not_there_is_not_found(house: House) -> None:
    async def story(client: RegistryClient, ref: Reference) -> None:
        who = house.credentials
        await pushed(client, ref, who, b"x")
        nothing = described(b"nothing")
        for ask in (
            lambda: client.manifest(ref.tagged("v2"), credentials=who),
            lambda: client.head(ref.tagged("v2"), credentials=who),
            lambda: client.manifest(ref.at(nothing.digest), credentials=who),
            lambda: client.blob(ref, nothing, Bucket(), credentials=who),
            lambda: client.manifest(house.reference("no/where:v1"), credentials=who),
        ):
            with pytest.raises(ImageNotFound, match=ref.registry):
                await ask()
        assert not await client.has_blob(ref, nothing.digest, credentials=who)

    run(house, story)


def test_a_wrong_length_is_noticed(house: House) -> None:
    async def story(client: RegistryClient, ref: Reference) -> None:
        await pushed(client, ref, house.credentials, CONTENT)
        for size in (len(CONTENT) - 1, len(CONTENT) + 1):
            lie = Descriptor("application/wasm", digest_of(CONTENT), size)
            with pytest.raises(ImageDamaged, match=lie.digest):
                await client.blob(ref, lie, Bucket(), credentials=house.credentials)

    run(house, story)


@PRIVATE
def test_who_is_not_known_is_refused(house: House) -> None:
    async def story(client: RegistryClient, ref: Reference) -> None:
        await pushed(client, ref, house.credentials, b"x")
        for who in (None, Credentials("bob", "wrong-secret"), Credentials("<token>", "wrong-secret")):
            for ask in (client.manifest(ref, credentials=who), client.push_blob(ref, b"y", credentials=who)):
                with pytest.raises(RegistryRefused) as caught:
                    await ask
                assert "wrong-secret" not in str(caught.value)

    run(house, story)


def test_an_index_stays_an_index(house: House) -> None:
    async def story(client: RegistryClient, ref: Reference) -> None:
        who = house.credentials
        image = await pushed(client, ref.tagged("amd64"), who, b"x")
        entry = image.printed() | {"platform": {"os": "linux", "architecture": "amd64"}}
        index = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry]}).encode()
        digest = await client.push_manifest(ref, index, OCI_INDEX, credentials=who)
        found = await client.manifest(ref, credentials=who)
        assert (found.digest, found.media_type, found.body) == (digest, OCI_INDEX, index)
        assert found.is_index

    run(house, story)


def test_what_refers_to_an_image_is_found(house: House) -> None:
    async def story(client: RegistryClient, ref: Reference) -> None:
        who = house.credentials
        image = await pushed(client, ref, who, b"x")
        assert await client.referrers(ref, image.digest, credentials=who) == ()
        layer = await client.push_blob(ref, b"signature", credentials=who)
        bodies = [body_of(layer, subject=image, note=str(n)) for n in range(3)]
        for body in bodies:
            await client.push_manifest(ref.at(digest_of(body)), body, OCI_MANIFEST, credentials=who)
        found = await client.referrers(ref, image.digest, credentials=who)
        assert {descriptor.digest for descriptor in found} == {digest_of(body) for body in bodies}
        assert {descriptor.artifact_type for descriptor in found} == {"application/vnd.example.note"}

    run(house, story)


def test_a_manifest_whose_blobs_are_missing_may_be_refused_in_words(house: House) -> None:
    async def story(client: RegistryClient, ref: Reference) -> None:
        try:
            await client.push_manifest(ref, body_of(described(b"nowhere")), OCI_MANIFEST, credentials=house.credentials)
        except (RegistryAway, ImageNotFound) as exc:
            assert str(ref) in str(exc)  # noqa: PT017 - registries may do either

    run(house, story)
