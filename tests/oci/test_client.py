from __future__ import annotations

import asyncio
import dataclasses
import logging

import pytest

from conductor.errors import (
    ImageDamaged,
    ImageNotFound,
    ImageTooLarge,
    ImageUnusable,
    RegistryAway,
)
from conductor.model.image import Reference
from tests.fakes.registry import FakeRegistry, Faults, digest_of
from tests.oci.asking import OCI_INDEX, OCI_MANIFEST, QUICK, client_of, config, described, manifest_body, reference


def test_a_manifest_comes_by_tag_with_the_digest_of_its_bytes() -> None:
    async def story() -> None:
        async with FakeRegistry.serving() as registry, client_of() as client:
            digest = registry.put_manifest("team/tool", "v1", manifest_body(), OCI_MANIFEST)
            found = await client.manifest(reference(registry))
            assert (found.digest, found.media_type, found.body) == (digest, OCI_MANIFEST, manifest_body())
            assert found.parsed["schemaVersion"] == 2
            assert await client.head(reference(registry)) == digest
            assert (await client.manifest(reference(registry).at(digest))).digest == digest

    asyncio.run(story())


def test_a_digest_is_told_where_a_registry_knows_no_head() -> None:
    async def story() -> None:
        async with FakeRegistry.serving(faults=Faults(no_head=True)) as registry, client_of() as client:
            digest = registry.put_manifest("team/tool", "v1", manifest_body(), OCI_MANIFEST)
            assert await client.head(reference(registry)) == digest

    asyncio.run(story())


@pytest.mark.parametrize("by", ["digest", "header"])
def test_bytes_of_another_digest_are_refused_by_name(by: str) -> None:
    async def story() -> None:
        async with FakeRegistry.serving() as registry, client_of() as client:
            digest = registry.put_manifest("team/tool", "v1", manifest_body(), OCI_MANIFEST)
            registry.faults.wrong_bytes = True
            ref = reference(registry)
            with pytest.raises(ImageDamaged, match=digest):
                await client.manifest(ref.at(digest) if by == "digest" else ref)

    asyncio.run(story())


def test_what_is_not_there_is_told_by_reference_and_registry() -> None:
    async def story() -> None:
        async with FakeRegistry.serving() as registry, client_of() as client:
            with pytest.raises(ImageNotFound) as caught:
                await client.manifest(reference(registry))
            assert str(reference(registry)) in str(caught.value)
            assert registry.address in str(caught.value)
            assert "MANIFEST_UNKNOWN" in str(caught.value)

    asyncio.run(story())


def test_a_huge_manifest_is_read_no_further_than_the_ceiling() -> None:
    async def story() -> None:
        faults = Faults(huge_manifest=64 << 20)
        async with FakeRegistry.serving(faults=faults) as registry, client_of() as client:
            with pytest.raises(ImageTooLarge):
                await client.manifest(reference(registry))

    asyncio.run(story())


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "no JSON"),
        (b"[]", "an object was expected"),
        (b"{" * 100_000, "no JSON"),
        (b'{"a":' * 5000 + b"1" + b"}" * 5000, "no JSON"),
        (b'{"schemaVersion":1,"fsLayers":[]}', "schema 2"),
        (b'{"schemaVersion":2,"manifests":[],"layers":[]}', "one of the two"),
        (b'{"schemaVersion":2,"mediaType":"%s","layers":[]}' % OCI_INDEX.encode(), "does not look like one"),
        (b'{"a":[' + b"1," * 250_000 + b"1]}", "so many"),
    ],
)
def test_what_is_no_manifest_is_refused_with_what_it_is(body: bytes, why: str) -> None:
    async def story() -> None:
        async with FakeRegistry.serving() as registry, client_of() as client:
            registry.put_manifest("team/tool", "v1", body, "application/octet-stream")
            with pytest.raises((ImageUnusable, ImageTooLarge), match=why):
                await client.manifest(reference(registry))

    asyncio.run(story())


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_what_passes_is_tried_again(status: int) -> None:
    async def story() -> None:
        faults = Faults(statuses=[status] * (QUICK.attempts - 1))
        async with FakeRegistry.serving(faults=faults) as registry, client_of() as client:
            digest = registry.put_manifest("team/tool", "v1", manifest_body(), OCI_MANIFEST)
            assert (await client.manifest(reference(registry))).digest == digest
            registry.faults.statuses = [status] * QUICK.attempts
            with pytest.raises(RegistryAway, match=str(status)):
                await client.manifest(reference(registry))

    asyncio.run(story())


@pytest.mark.parametrize("status", [400, 405, 501])
def test_what_stays_is_asked_once(status: int) -> None:
    async def story() -> None:
        async with FakeRegistry.serving(faults=Faults(statuses=[status])) as registry, client_of() as client:
            with pytest.raises(RegistryAway, match=str(status)):
                await client.manifest(reference(registry))
            assert len(registry.seen) == 1

    asyncio.run(story())


def test_a_registry_says_how_long_to_wait_within_reason() -> None:
    async def story() -> None:
        faults = Faults(statuses=[429], retry_after="1")
        async with FakeRegistry.serving(faults=faults) as registry, client_of() as client:
            registry.put_manifest("team/tool", "v1", manifest_body(), OCI_MANIFEST)
            began = asyncio.get_running_loop().time()
            await client.manifest(reference(registry))
            assert asyncio.get_running_loop().time() - began >= 1
            faults.statuses, faults.retry_after = [429], "3600"
            with pytest.raises(RegistryAway, match="wait 3600 s"):
                await client.manifest(reference(registry))

    asyncio.run(story())


def test_nobody_at_the_address_is_told_as_such() -> None:
    async def story() -> None:
        async with client_of() as client:
            with pytest.raises(RegistryAway, match=r"127\.0\.0\.1:1 cannot be reached"):
                await client.manifest(Reference.parse("127.0.0.1:1/team/tool"))

    asyncio.run(story())


def test_tls_is_wanted_unless_the_host_is_named_or_this_machine(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    async def story() -> None:
        async with FakeRegistry.serving() as registry:
            registry.put_manifest("team/tool", "v1", manifest_body(), OCI_MANIFEST)
            async with client_of(f'[registry."{registry.address}"]\nplain_http = false\n') as client:
                with pytest.raises(RegistryAway, match="plain_http = true"):
                    await client.manifest(reference(registry))
        (there,) = config().endpoints(Reference.parse("registry.example:5000/a"))
        assert there.origin == "https://registry.example:5000"
        named = config('[registry."registry.example:5000"]\nplain_http = true\n')
        assert named.endpoints(Reference.parse("registry.example:5000/a"))[0].plain

    asyncio.run(story())


def test_a_call_that_takes_too_long_ends() -> None:
    async def story() -> None:
        limits = dataclasses.replace(QUICK, call=0.3, backoff=5.0, backoff_most=5.0)
        async with FakeRegistry.serving(faults=Faults(statuses=[503] * 9)) as registry, client_of("", limits) as client:
            with pytest.raises(RegistryAway, match="not done within"):
                await client.manifest(reference(registry))

    asyncio.run(story())


@pytest.mark.parametrize("api", [True, False])
def test_referrers_are_listed_by_api_or_by_tag(*, api: bool) -> None:
    async def story() -> None:
        async with FakeRegistry.serving(referrers_api=api) as registry, client_of() as client:
            subject = described(manifest_body(), OCI_MANIFEST)
            ref = reference(registry)
            assert await client.referrers(ref, subject.digest) == ()
            bodies = [manifest_body(note=str(n), subject=subject) for n in range(5)]
            for body in bodies:
                await client.push_manifest(ref.at(digest_of(body)), body, OCI_MANIFEST)
            found = await client.referrers(ref, subject.digest)
            assert {descriptor.digest for descriptor in found} == {digest_of(body) for body in bodies}

    asyncio.run(story())
