from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from conductor.errors import ImageDamaged, RegistryAway, RegistryRefused
from conductor.model.image import Credentials, Descriptor
from tests.fakes.registry import FakeRegistry, Faults, digest_of
from tests.oci.asking import BLOB, OCI_INDEX, OCI_MANIFEST, QUICK, client_of, described, manifest_body, reference

BOB = Credentials("bob", "hunter2")


@pytest.mark.parametrize("size", [0, 1, QUICK.chunk - 1, QUICK.chunk, QUICK.chunk + 1, 1_000_000])
def test_a_blob_is_pushed_whole_whatever_its_size(size: int) -> None:
    async def story() -> None:
        async with FakeRegistry.serving() as registry, client_of() as client:
            done: list[tuple[int, int]] = []
            pushed = await client.push_blob(
                reference(registry), BLOB[:size], media_type="application/wasm", progress=lambda *at: done.append(at)
            )
            assert pushed == Descriptor("application/wasm", digest_of(BLOB[:size]), size)
            assert registry.blobs == {pushed.digest: BLOB[:size]}
            assert done[-1] == (size, size)
            assert done == sorted(done)

    asyncio.run(story())


def test_a_file_is_pushed_as_bytes_are(tmp_path: Path) -> None:
    async def story() -> None:
        (tmp_path / "module.wasm").write_bytes(BLOB)
        async with FakeRegistry.serving() as registry, client_of() as client:
            pushed = await client.push_blob(reference(registry), tmp_path / "module.wasm")
            assert registry.blobs == {pushed.digest: BLOB}

    asyncio.run(story())


def test_what_is_there_is_not_pushed_again() -> None:
    async def story() -> None:
        async with FakeRegistry.serving() as registry, client_of() as client:
            for _ in range(2):
                await client.push_blob(reference(registry), BLOB)
            assert registry.count("blobs")["HEAD"] == 2
            assert registry.count("uploads")["POST"] == 1
            assert await client.has_blob(reference(registry), digest_of(BLOB))
            assert not await client.has_blob(reference(registry), digest_of(b"x"))

    asyncio.run(story())


def test_an_upload_that_is_cut_goes_on_where_it_broke() -> None:
    async def story() -> None:
        async with FakeRegistry.serving(faults=Faults(cut_uploads=1)) as registry, client_of() as client:
            pushed = await client.push_blob(reference(registry), BLOB)
            assert registry.blobs == {pushed.digest: BLOB}
            assert registry.count("uploads")["POST"] == 1

    asyncio.run(story())


def test_an_upload_that_is_cut_for_ever_is_given_up() -> None:
    async def story() -> None:
        async with FakeRegistry.serving(faults=Faults(cut_uploads=999)) as registry, client_of() as client:
            with pytest.raises(RegistryAway):
                await client.push_blob(reference(registry), BLOB[:1000])
            assert not registry.blobs

    asyncio.run(story())


@pytest.mark.parametrize("tokens", [False, True])
def test_pushing_needs_more_than_pulling(*, tokens: bool) -> None:
    async def story() -> None:
        wishes: dict[str, Any] = {"users": {"bob": "hunter2"}, "tokens": tokens, "anonymous_pull": True}
        async with FakeRegistry.serving(**wishes) as registry, client_of() as client:
            with pytest.raises(RegistryRefused):
                await client.push_blob(reference(registry), BLOB)
            await client.push_blob(reference(registry), BLOB, credentials=BOB)
            digest = await client.push_manifest(reference(registry), manifest_body(), OCI_MANIFEST, credentials=BOB)
            found = await client.manifest(reference(registry), credentials=BOB)
            assert (found.digest, found.body) == (digest, manifest_body())

    asyncio.run(story())


def test_a_registry_that_stored_something_else_is_not_believed() -> None:
    async def story() -> None:
        faults = Faults(stored_digest=f"sha256:{'0' * 64}")
        async with FakeRegistry.serving(faults=faults) as registry, client_of() as client:
            with pytest.raises(ImageDamaged, match=digest_of(BLOB)):
                await client.push_blob(reference(registry), BLOB)
            with pytest.raises(ImageDamaged, match=digest_of(manifest_body())):
                await client.push_manifest(reference(registry), manifest_body(), OCI_MANIFEST)

    asyncio.run(story())


def test_a_referrer_is_listed_by_tag_where_the_registry_lists_none() -> None:
    async def story() -> None:
        async with FakeRegistry.serving(referrers_api=False) as registry, client_of() as client:
            subject = described(manifest_body(), OCI_MANIFEST)
            ref = reference(registry)
            bodies = [manifest_body(note=str(n), subject=subject) for n in range(2)]
            for body in (*bodies, bodies[0]):
                await client.push_manifest(ref.at(digest_of(body)), body, OCI_MANIFEST)
            media_type, index = registry.manifests["team/tool", subject.digest.replace(":", "-")]
            listed = json.loads(index)["manifests"]
            assert media_type == OCI_INDEX
            assert [entry["digest"] for entry in listed] == [digest_of(body) for body in bodies]
            assert {entry["artifactType"] for entry in listed} == {"application/vnd.oci.empty.v1+json"}

    asyncio.run(story())
