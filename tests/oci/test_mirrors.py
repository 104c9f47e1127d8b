from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from conductor.errors import ImageDamaged, ImageNotFound, RegistryAway
from conductor.oci.client import RegistryClient
from tests.fakes.registry import FakeRegistry, Faults, digest_of
from tests.oci.asking import BLOB, OCI_MANIFEST, QUICK, Bucket, client_of, described, manifest_body, reference


@asynccontextmanager
async def pair(*mirrors: str) -> AsyncIterator[tuple[FakeRegistry, FakeRegistry, RegistryClient]]:
    """A mirror, a registry, and a client that asks `mirrors` and then the mirror first."""
    async with FakeRegistry.serving() as mirror, FakeRegistry.serving() as registry:
        for each in (mirror, registry):
            each.put_manifest("team/tool", "v1", manifest_body(), OCI_MANIFEST)
            each.put_blob(BLOB)
        listed = ", ".join(f'"{host}"' for host in (*mirrors, mirror.address))
        async with client_of(f'[registry."{registry.address}"]\nmirrors = [{listed}]\n') as client:
            yield mirror, registry, client


def test_a_mirror_that_has_it_is_enough() -> None:
    async def story() -> None:
        async with pair() as (mirror, registry, client):
            bucket = Bucket()
            found = await client.manifest(reference(registry))
            await client.blob(reference(registry), described(BLOB), bucket)
            assert (found.digest, bytes(bucket.body)) == (digest_of(manifest_body()), BLOB)
            assert (len(mirror.seen), len(registry.seen)) == (2, 0)

    asyncio.run(story())


@pytest.mark.parametrize(
    "faults",
    [
        Faults(statuses=[404]),
        Faults(statuses=[401]),
        Faults(statuses=[403]),
        Faults(statuses=[500] * 9),
        Faults(statuses=[418]),
        Faults(wrong_bytes=True),
        Faults(wrong_digest_header=f"sha256:{'0' * 64}"),
    ],
    ids=["404", "401", "403", "500", "418", "bytes", "header"],
)
def test_a_mirror_that_fails_or_lies_is_passed_over(faults: Faults) -> None:
    async def story() -> None:
        async with pair() as (mirror, registry, client):
            mirror.faults = faults
            ref = reference(registry).at(digest_of(manifest_body()))
            assert (await client.manifest(ref)).body == manifest_body()
            assert (len(mirror.seen) > 0, len(registry.seen)) == (True, 1)

    asyncio.run(story())


def test_a_mirror_that_is_away_is_left_alone_for_a_while() -> None:
    async def story() -> None:
        async with pair("127.0.0.1:1") as (mirror, registry, client):
            mirror.faults.statuses = [503] * 99
            for _ in range(10):
                await client.head(reference(registry))
            assert (len(mirror.seen), len(registry.seen)) == (QUICK.mirror_attempts, 10)

    asyncio.run(story())


def test_a_mirror_that_only_lacks_something_is_asked_again() -> None:
    async def story() -> None:
        async with pair() as (mirror, registry, client):
            mirror.faults.statuses = [404]
            await client.small_blob(reference(registry), described(BLOB), limit=1 << 20)
            await client.manifest(reference(registry))
            assert (len(mirror.seen), len(registry.seen)) == (2, 1)

    asyncio.run(story())


def test_a_blob_that_a_mirror_cuts_goes_on_upstream_where_it_broke() -> None:
    async def story() -> None:
        async with pair() as (mirror, registry, client):
            mirror.faults.cut_at = [600_000, 0, 0, 0]
            bucket = Bucket()
            await client.blob(reference(registry), described(BLOB), bucket)
            assert bucket.body == BLOB
            assert registry.seen[0].range == "bytes=600000-999999"

    asyncio.run(story())


def test_a_small_blob_that_a_mirror_changed_comes_from_upstream() -> None:
    async def story() -> None:
        async with pair() as (mirror, registry, client):
            mirror.faults.wrong_bytes = True
            assert await client.small_blob(reference(registry), described(BLOB), limit=1 << 20) == BLOB
            # Who hashes for themselves ask again without mirrors.
            bucket = Bucket()
            await client.blob(reference(registry), described(BLOB), bucket, direct=True)
            assert bucket.body == BLOB

    asyncio.run(story())


def test_the_last_word_is_upstreams_and_tells_of_the_mirrors() -> None:
    async def story() -> None:
        async with pair() as (mirror, registry, client):
            mirror.faults.wrong_bytes = True
            registry.manifests.clear()
            ref = reference(registry).at(digest_of(manifest_body()))
            with pytest.raises(ImageNotFound, match="mirrors before") as caught:
                await client.manifest(ref)
            assert mirror.address in str(caught.value)
            registry.put_manifest("team/tool", "v1", manifest_body(), OCI_MANIFEST)
            registry.faults.wrong_bytes = True
            with pytest.raises(ImageDamaged):
                await client.manifest(ref)
            registry.faults = Faults(statuses=[503] * 9)
            with pytest.raises(RegistryAway):
                await client.manifest(ref)

    asyncio.run(story())


def test_a_mirror_that_tells_no_referrers_is_not_believed() -> None:
    async def story() -> None:
        async with pair() as (mirror, registry, client):
            subject = described(manifest_body(), OCI_MANIFEST)
            body = manifest_body(note="signature", subject=subject)
            await client.push_manifest(reference(registry).at(digest_of(body)), body, OCI_MANIFEST)
            found = await client.referrers(reference(registry), subject.digest)
            assert [descriptor.digest for descriptor in found] == [digest_of(body)]
            assert mirror.count("referrers")["GET"] == 1

    asyncio.run(story())


def test_nothing_is_pushed_to_a_mirror() -> None:
    async def story() -> None:
        async with pair() as (mirror, registry, client):
            await client.push_blob(reference(registry), b"new")
            assert (digest_of(b"new") in registry.blobs, mirror.seen) == (True, [])

    asyncio.run(story())
