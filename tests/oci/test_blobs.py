from __future__ import annotations

import asyncio
import dataclasses

import pytest

from conductor.errors import ImageDamaged, ImageNotFound, ImageTooLarge, RegistryAway, StoreFull
from tests.fakes.registry import FakeRegistry, Faults
from tests.oci.asking import BLOB, QUICK, Bucket, client_of, described, reference


def test_a_blob_is_streamed_from_any_byte_on() -> None:
    async def story() -> None:
        async with FakeRegistry.serving() as registry, client_of() as client:
            registry.put_blob(BLOB)
            for start in (0, 1, 999_999, 1_000_000):
                bucket = Bucket()
                await client.blob(reference(registry), described(BLOB), bucket, start=start)
                assert bucket.body == BLOB[start:]

    asyncio.run(story())


@pytest.mark.parametrize("ranges", [True, False])
def test_a_blob_cut_at_every_tenth_arrives_whole(*, ranges: bool) -> None:
    async def story() -> None:
        # Each answer ends a tenth further on: from its own beginning, or from the blob's where ranges are not known.
        cuts = [100_000] * 9 if ranges else [100_000 * n for n in range(1, 10)]
        faults = Faults(cut_at=list(cuts), no_ranges=not ranges)
        async with FakeRegistry.serving(faults=faults) as registry, client_of() as client:
            registry.put_blob(BLOB)
            bucket = Bucket()
            await client.blob(reference(registry), described(BLOB), bucket)
            assert bucket.body == BLOB
            assert [seen.range for seen in registry.seen][1:] == [f"bytes={n * 100_000}-999999" for n in range(1, 10)]

    asyncio.run(story())


def test_a_registry_that_refuses_ranges_is_asked_for_everything() -> None:
    async def story() -> None:
        faults = Faults(cut_at=[500_000, 700_000], refuses_ranges=True)
        async with FakeRegistry.serving(faults=faults) as registry, client_of() as client:
            registry.put_blob(BLOB)
            bucket = Bucket()
            await client.blob(reference(registry), described(BLOB), bucket)
            assert bucket.body == BLOB

    asyncio.run(story())


def test_a_blob_that_never_gets_on_is_given_up() -> None:
    async def story() -> None:
        async with FakeRegistry.serving(faults=Faults(cut_at=[0] * 99)) as registry, client_of() as client:
            registry.put_blob(BLOB)
            with pytest.raises(RegistryAway, match="closed the connection"):
                await client.blob(reference(registry), described(BLOB), Bucket())
            assert len(registry.seen) == QUICK.attempts

    asyncio.run(story())


def test_silence_counts_as_a_cut() -> None:
    async def story() -> None:
        limits = dataclasses.replace(QUICK, stall=0.1, attempts=2)
        async with FakeRegistry.serving(faults=Faults(silent=0.5)) as registry, client_of("", limits) as client:
            registry.put_blob(BLOB)
            with pytest.raises(RegistryAway, match="silent"):
                await client.blob(reference(registry), described(BLOB), Bucket())

    asyncio.run(story())


def test_a_slow_drip_is_given_up_though_it_never_stops() -> None:
    limits = dataclasses.replace(QUICK, grace=0.2, least_rate=100_000_000)

    async def story() -> None:
        async with FakeRegistry.serving(faults=Faults(drip=0.02)) as registry, client_of("", limits) as client:
            registry.put_blob(BLOB)
            with pytest.raises(RegistryAway, match="too slow"):
                await client.blob(reference(registry), described(BLOB), Bucket())

    asyncio.run(story())


@pytest.mark.parametrize("length", [1, 999_999, 1_000_001])
def test_a_blob_of_another_length_is_refused_by_its_digest(length: int) -> None:
    async def story() -> None:
        async with FakeRegistry.serving(faults=Faults(wrong_length=length)) as registry, client_of() as client:
            digest = registry.put_blob(BLOB)
            bucket = Bucket()
            with pytest.raises(ImageDamaged, match=digest):
                await client.blob(reference(registry), described(BLOB), bucket)
            assert bucket.body == b""

    asyncio.run(story())


def test_a_small_blob_is_hashed_and_a_large_one_not_fetched() -> None:
    async def story() -> None:
        async with FakeRegistry.serving() as registry, client_of() as client:
            digest = registry.put_blob(BLOB)
            assert await client.small_blob(reference(registry), described(BLOB), limit=len(BLOB)) == BLOB
            registry.faults.wrong_bytes = True
            with pytest.raises(ImageDamaged, match=digest):
                await client.small_blob(reference(registry), described(BLOB), limit=len(BLOB))
            registry.seen.clear()
            with pytest.raises(ImageTooLarge):
                await client.small_blob(reference(registry), described(BLOB), limit=len(BLOB) - 1)
            assert not registry.seen

    asyncio.run(story())


def test_redirects_without_end_are_followed_a_few_times() -> None:
    async def story() -> None:
        async with FakeRegistry.serving() as registry, client_of() as client:
            registry.put_blob(BLOB)
            registry.faults.redirect_to = f"http://{registry.address}"
            with pytest.raises(RegistryAway, match="more than 5 times"):
                await client.blob(reference(registry), described(BLOB), Bucket())
            assert len(registry.seen) == 6

    asyncio.run(story())


def test_a_missing_blob_is_not_found() -> None:
    async def story() -> None:
        async with FakeRegistry.serving() as registry, client_of() as client:
            with pytest.raises(ImageNotFound, match=described(BLOB).digest):
                await client.blob(reference(registry), described(BLOB), Bucket())

    asyncio.run(story())


def test_the_readers_own_error_leaves_as_it_is() -> None:
    async def full(_piece: bytes) -> None:
        raise StoreFull("no room")

    async def story() -> None:
        async with FakeRegistry.serving() as registry, client_of() as client:
            registry.put_blob(BLOB)
            with pytest.raises(StoreFull, match="no room"):
                await client.blob(reference(registry), described(BLOB), full)
            assert len(registry.seen) == 1

    asyncio.run(story())


def test_a_cancelled_pull_ends_at_once() -> None:
    async def story() -> None:
        async with FakeRegistry.serving(faults=Faults(drip=0.05)) as registry, client_of() as client:
            registry.put_blob(BLOB)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await client.blob(reference(registry), described(BLOB), Bucket())

    asyncio.run(story())
