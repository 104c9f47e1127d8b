"""Images by other people's tools are pulled as ours are, theirs read ours, and one mirror serves a hundred nodes."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from conductor.model.image import ImageKind, Platform
from conductor.model.kernel import PullPolicy
from conductor.oci.client import RegistryClient
from conductor.oci.limits import RegistryLimits
from conductor.oci.media_types import OCI_INDEX
from conductor.oci.pack import Packed, bytecode_image, wasm_image
from conductor.oci.puller import Pulled, Puller
from conductor.oci.store import ImageStore
from tests.fakes.registry import FakeRegistry
from tests.oci.asking import client_of
from tests.oci.image_parts import CORE, bpf_object, tgz
from tests.oci.pulling import NODE, place
from tests.oci.pulling import push as push_to_fake
from tests.oci.registry.houses import HOUSES, House, docker_registry

pytestmark = pytest.mark.registry
BYTECODE, WASM = ImageKind.BYTECODE, ImageKind.WASM
OBJECT = bpf_object()


@pytest.fixture(scope="module")
def crane_house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with HOUSES["crane"](tmp_path_factory.mktemp("crane")) as house:
        yield house


def tool(name: str, *words: str) -> str:
    command = [os.environ.get(f"CONDUCTOR_{name.upper()}", name), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


async def push(client: RegistryClient, house: House, name: str, image: Packed) -> None:
    ref, who = house.reference(name), house.credentials
    for blob in image.blobs:
        await client.push_blob(ref, blob, credentials=who)
    for manifest in image.manifests:
        where = ref if image.index is None else ref.at(manifest.digest)
        await client.push_manifest(where, manifest.body, manifest.media_type, credentials=who)
    if image.index is not None:
        await client.push_manifest(ref, image.index, OCI_INDEX, credentials=who)


def pulled(house: House, root: Path, name: str, kind: ImageKind | None, image: Packed | None = None) -> Pulled:
    """Pull, after a push of ours where there is one; the file's bytes are in the answer's path."""

    async def story() -> Pulled:
        async with client_of(house.text, RegistryLimits()) as client:
            if image is not None:
                await push(client, house, name, image)
            with ImageStore.opened(root / "cache", bytes_limit=1 << 30) as store:
                puller = Puller(client=client, store=store, verifier=None, node=NODE, byte_order="little")
                return await puller.pull(
                    house.reference(name), kind, policy=PullPolicy.ALWAYS, credentials=house.credentials
                )

    return asyncio.run(story())


@pytest.mark.parametrize(
    ("name", "image", "content"),
    [
        ("module", wasm_image(CORE), CORE),
        ("object", bytecode_image({None: OBJECT}, programs={"f": "xdp"}, maps={}), OBJECT),
        (
            "objects",
            bytecode_image(
                {NODE: OBJECT, Platform("linux", "arm64"): bpf_object(filling=b"arm")}, programs={"f": "xdp"}, maps={}
            ),
            OBJECT,
        ),
    ],
    ids=["module", "object", "objects"],
)
def test_every_registry_keeps_what_we_pack(
    house: House, tmp_path: Path, name: str, image: Packed, content: bytes
) -> None:
    found = pulled(house, tmp_path, f"ours/{name}:v1", None, image)
    assert (found.digest, found.path.read_bytes()) == (image.digest, content)


@pytest.mark.parametrize(("file", "content"), [("plugin.wasm", CORE), ("xdp.o", OBJECT)], ids=["wasm", "bytecode"])
@pytest.mark.parametrize("base", ["--oci-empty-base", "--insecure"], ids=["oci", "docker"])
def test_an_image_that_crane_made(crane_house: House, tmp_path: Path, file: str, content: bytes, base: str) -> None:
    (tmp_path / "layer.tgz").write_bytes(tgz({file: content}))
    name = f"crane/{file}{base}:v1"
    tool("crane", "append", base, "-f", str(tmp_path / "layer.tgz"), "-t", str(crane_house.reference(name)))
    assert pulled(crane_house, tmp_path, name, None).path.read_bytes() == content


@pytest.mark.parametrize(
    ("layer", "more"),
    [
        ("application/wasm", ["--config", "config.json:application/vnd.wasm.config.v0+json"]),
        ("application/vnd.wasm.content.layer.v1+wasm", ["--artifact-type", "application/vnd.wasm.config.v1+json"]),
        ("application/vnd.module.wasm.content.layer.v1+wasm", []),
        ("application/vnd.oci.image.layer.v1.tar", []),
    ],
    ids=["cncf", "wasm-to-oci", "solo", "said to be a tar"],
)
def test_a_module_that_oras_pushed(
    crane_house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layer: str, more: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "module.wasm").write_bytes(CORE)
    (tmp_path / "config.json").write_text('{"architecture": "wasm", "os": "wasip1"}')
    name = f"oras/{layer.rpartition('/')[2].replace('+', '-')}:v1"
    tool("oras", "push", "--plain-http", *more, str(crane_house.reference(name)), f"module.wasm:{layer}")
    assert pulled(crane_house, tmp_path, name, WASM).path.read_bytes() == CORE


def test_our_bytecode_as_skopeo_writes_it_for_docker(crane_house: House, tmp_path: Path) -> None:
    image = bytecode_image({None: OBJECT}, programs={"f": "xdp"}, maps={"m": "hash"})
    pulled(crane_house, tmp_path, "skopeo/ours:v1", BYTECODE, image)
    there = [f"docker://{crane_house.reference(f'skopeo/{name}:v1')}" for name in ("ours", "docker")]
    ways = ["--src-tls-verify=false", "--dest-tls-verify=false", "--format", "v2s2"]
    tool("skopeo", "--insecure-policy", "copy", *ways, *there)
    found = pulled(crane_house, tmp_path, "skopeo/docker:v1", BYTECODE)
    assert (found.path.read_bytes(), found.functions, found.maps) == (OBJECT, {"f": "xdp"}, {"m": "hash"})


def test_crane_finds_no_fault_with_what_we_pack(crane_house: House, tmp_path: Path) -> None:
    image = bytecode_image({NODE: OBJECT}, programs={"f": "xdp"}, maps={})
    pulled(crane_house, tmp_path, "crane/ours:v1", BYTECODE, image)
    assert "PASS" in tool("crane", "validate", "--remote", str(crane_house.reference("crane/ours:v1")))


def test_a_hundred_nodes_ask_a_real_mirror_once_each_and_nobody_else(tmp_path: Path) -> None:
    """The mirror itself fetches a blob again for each who asks before it has it whole; one node goes ahead."""

    async def story(upstream: FakeRegistry, mirror: str) -> None:
        text = f'[registry."{upstream.address}"]\nmirrors = ["{mirror}"]\nmirror_tags = true\n'
        async with AsyncExitStack() as stack:
            nodes = [
                await stack.enter_async_context(
                    place(tmp_path / str(i), registry=upstream, registries=text, limits=RegistryLimits())
                )
                for i in range(100)
            ]
            await nodes[0].pull()
            await asyncio.sleep(0.5)  # the mirror keeps it in the background
            before = upstream.count("/blobs/")["GET"]
            async with asyncio.TaskGroup() as group:
                for node in nodes[1:]:
                    group.create_task(node.pull())
            assert upstream.count("/blobs/")["GET"] == before

    async def whole() -> None:
        async with FakeRegistry.serving() as upstream:
            push_to_fake(upstream, wasm_image(CORE + b"\0\x80\x80\x40\4name" + bytes(1 << 20)))
            (tmp_path / "mirror").mkdir()
            held = docker_registry(tmp_path / "mirror", upstream=f"http://{upstream.address}")
            mirror = await asyncio.to_thread(held.__enter__)
            try:
                await story(upstream, mirror)
            finally:
                held.__exit__(None, None, None)

    asyncio.run(whole())
