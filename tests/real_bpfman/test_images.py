"""Bytecode images that we pack and push are pulled and loaded by the real daemons, by tag and by digest."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager

import pytest

from conductor.bpfman.channel import OneConnection
from conductor.bpfman.flavour import Flavour
from conductor.bpfman.wire import load_to_wire
from conductor.model.image import Platform, Reference
from conductor.model.kernel import KernelType
from conductor.oci.client import RegistryClient
from conductor.oci.media_types import OCI_INDEX
from conductor.oci.pack import Packed, bytecode_image
from conductor.oci.platforms import node_platform
from conductor.oci.registries import RegistriesConfig
from conductor.proto.bpfman.v1 import BpfmanStub, BytecodeImage, BytecodeLocation, PullBytecodeRequest
from tests.fakes.registry import FakeRegistry
from tests.oci.authority import Authority, made
from tests.real_bpfman.bed import Bed, started
from tests.real_bpfman.daemons import RealDaemon

pytestmark = [pytest.mark.kernel, pytest.mark.slow]
IF_NOT_PRESENT = 1


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return made(tmp_path_factory.mktemp("authority"))


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(Flavour.RUST, id="rust", marks=pytest.mark.bpfman),
        pytest.param(Flavour.GO, id="go", marks=pytest.mark.bpfman),
    ],
)
def daemon(request: pytest.FixtureRequest, authority: Authority) -> Iterator[RealDaemon]:
    """Daemons that are not ours, started so that they trust the authority."""
    with ExitStack() as stack:
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv("SSL_CERT_FILE", str(authority.ca))
            daemon = stack.enter_context(started(request.param))
        yield daemon


def packed(bed: Bed, *platforms: Platform) -> Packed:
    content = bed.object.read_bytes()
    kernel = (KernelType.TRACEPOINT, KernelType.TRACEPOINT, KernelType.TCX)
    programs = {bed.name(stem): kind.value for stem, kind in zip(("enter", "exit", "tcx"), kernel, strict=True)}
    return bytecode_image(
        dict.fromkeys(platforms, content) or {None: content}, programs=programs, maps={"counts": "array"}
    )


async def push(client: RegistryClient, ref: Reference, image: Packed) -> None:
    for blob in image.blobs:
        await client.push_blob(ref, blob)
    for manifest in image.manifests:
        where = ref.at(manifest.digest) if image.index is not None else ref
        await client.push_manifest(where, manifest.body, manifest.media_type)
    if image.index is not None:
        await client.push_manifest(ref, image.index, OCI_INDEX)


@asynccontextmanager
async def pushed(bed: Bed, image: Packed, authority: Authority) -> AsyncIterator[tuple[BpfmanStub, Reference]]:
    """A registry that has the image, and a daemon that may ask it: the Rust one speaks TLS only, the Go one none here."""
    tls = authority.server() if bed.flavour is Flavour.RUST else None
    async with asyncio.timeout(45), AsyncExitStack() as stack:
        registry = await stack.enter_async_context(FakeRegistry.serving(tls=tls))
        text = f'[registry."{registry.address}"]\nca = "{authority.ca}"\nplain_http = {str(tls is None).lower()}\n'
        config = RegistriesConfig.parse(text, where="none", environ={})
        client = await stack.enter_async_context(RegistryClient.opened(registries=config))
        ref = Reference.parse(f"{registry.address}/tools/{bed.mark}:v1")
        await push(client, ref, image)
        channel = OneConnection(socket=bed.daemon.socket)
        try:
            yield BpfmanStub(channel), ref
        finally:
            channel.close()


async def load(stub: BpfmanStub, bed: Bed, ref: Reference) -> dict[int, str]:
    request = load_to_wire(bed.load("enter"))
    image = BytecodeImage(url=str(ref), image_pull_policy=IF_NOT_PRESENT)
    request.bytecode = BytecodeLocation(image=image)
    answer = await stub.load(request)
    return {one.kernel_info.id: one.info.name for one in answer.programs}


@pytest.mark.parametrize("many", [False, True], ids=["alone", "index"])
def test_a_daemon_loads_from_the_image_that_we_pushed(bed: Bed, authority: Authority, many: bool) -> None:
    image = packed(bed, *((node_platform(), Platform("linux", "s390x")) if many else ()))

    async def story() -> None:
        async with pushed(bed, image, authority) as (stub, ref):
            await stub.pull_bytecode(PullBytecodeRequest(BytecodeImage(url=str(ref), image_pull_policy=IF_NOT_PRESENT)))
            assert await load(stub, bed, ref) == bed.eyes.programs() != {}

    asyncio.run(story())


def test_a_daemon_loads_the_digest_that_we_verified(bed: Bed, authority: Authority) -> None:
    image = packed(bed)

    async def story() -> None:
        async with pushed(bed, image, authority) as (stub, ref):
            assert await load(stub, bed, ref.at(image.digest)) == bed.eyes.programs() != {}

    asyncio.run(story())
