"""Images for clients of the loader itself: pulled by a child that has no rights, held against the policy, kept."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from grpclib.const import Status
from grpclib.exceptions import GRPCError

from conductor.model.reference import Reference
from conductor.oci.client import RegistryClient
from conductor.oci.pack import Packed, bytecode_image
from conductor.oci.registries import RegistriesConfig
from conductor.oci.trust.sign import sign
from conductor.proto.bpfman import v1 as pb
from tests.fakes.registry import FakeRegistry
from tests.fakes.registry_thread import served_registry
from tests.loader.running import Client, Daemon

pytestmark = pytest.mark.kernel
Compiled = Callable[[str], Path]
TRACEPOINT = 2
ALWAYS, IF_NOT_PRESENT, NEVER = range(3)


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    with served_registry() as registry:
        yield registry


@pytest.fixture
def image(registry: FakeRegistry, compiled: Compiled) -> str:
    """An image with the object of `counters`."""
    labels = {"on_enter": "tracepoint", "on_exit": "tracepoint"}
    put(registry, bytecode_image({None: compiled("counters").read_bytes()}, programs=labels, maps={}))
    return f"{registry.address}/tools/counters:v1"


def put(registry: FakeRegistry, packed: Packed) -> None:
    for blob in packed.blobs:
        registry.put_blob(blob)
    one = packed.manifests[0]
    registry.put_manifest("tools/counters", "v1", one.body, one.media_type)


def wish(url: str, policy: int = IF_NOT_PRESENT, **credentials: str) -> pb.BytecodeImage:
    return pb.BytecodeImage(url=url, image_pull_policy=policy, **credentials)


async def load(client: Client, image: pb.BytecodeImage) -> pb.LoadResponseInfo:
    info = [pb.LoadInfo(name="on_enter", program_type=pb.BpfmanProgramType(TRACEPOINT))]
    request = pb.LoadRequest(bytecode=pb.BytecodeLocation(image=image), info=info)
    return (await client.bpfman.load(request)).programs[0]


async def refusal(client: Client, image: pb.BytecodeImage) -> tuple[Status, str]:
    with pytest.raises(GRPCError) as caught:
        await load(client, image)
    return caught.value.status, caught.value.message or ""


def test_an_image_is_loaded_and_named(empty: Daemon, image: str) -> None:
    async def story(client: Client) -> None:
        loaded = await load(client, wish(image))
        assert loaded.info is not None
        assert loaded.info.bytecode == pb.BytecodeLocation(image=pb.BytecodeImage(url=image))
        await client.tracepoint(loaded.kernel_info.id)
        assert await client.runs(loaded.kernel_info.id) > 0

    empty.ask(story)


def test_the_policy_says_when_the_registry_is_asked(empty: Daemon, registry: FakeRegistry, image: str) -> None:
    async def story(client: Client) -> None:
        status, sentence = await refusal(client, wish(image, NEVER))
        assert (status, "pull policy is Never" in sentence) == (Status.NOT_FOUND, True)
        await client.bpfman.pull_bytecode(pb.PullBytecodeRequest(image=wish(image, ALWAYS)))
        asked = len(registry.seen)
        await client.unload(*[(await load(client, wish(image, policy))).kernel_info.id for policy in (1, 2)])
        assert len(registry.seen) == asked
        await load(client, wish(image, ALWAYS))
        assert len(registry.seen) > asked

    empty.ask(story)


def test_the_child_that_pulls_is_nobody_and_has_no_rights(empty: Daemon, registry: FakeRegistry, image: str) -> None:
    registry.faults.silent = 1.5
    seen: list[dict[str, str]] = []

    async def story(client: Client) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(client.bpfman.pull_bytecode(pb.PullBytecodeRequest(image=wish(image, ALWAYS))))
            assert empty.process is not None
            until = time.monotonic() + 10
            while not seen and time.monotonic() < until:
                await asyncio.sleep(0.02)
                if any("/blobs/" in one.path for one in registry.seen):
                    seen.extend(statuses(empty.process.pid))

    empty.ask(story)
    assert [one["Uid"].split() for one in seen] == [["65534"] * 4]
    assert [{one[key] for key in ("CapPrm", "CapEff", "CapInh", "CapBnd", "CapAmb")} for one in seen] == [{"0" * 16}]
    assert [(one["NoNewPrivs"], one["Groups"]) for one in seen] == [("1", "")]


def statuses(parent: int) -> Iterator[dict[str, str]]:
    """What the kernel says of a process's children."""
    for task in Path(f"/proc/{parent}/task").iterdir():
        for child in (task / "children").read_text().split():
            lines = Path(f"/proc/{child}/status").read_text().splitlines()
            yield {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}


def test_a_policy_that_wants_a_signature_is_kept(stopped: Daemon, tmp_path: Path, image: str) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text("default: {reject: all}")
    stopped.start(image_policy=str(policy))

    async def story(client: Client) -> None:
        status, sentence = await refusal(client, wish(image))
        assert status is Status.PERMISSION_DENIED
        assert "accepts no image" in sentence

    stopped.ask(story)


def test_what_an_earlier_policy_let_in_is_asked_for_anew(stopped: Daemon, tmp_path: Path, image: str) -> None:
    async def loads(client: Client) -> None:
        await client.unload((await load(client, wish(image))).kernel_info.id)

    stopped.start()
    stopped.ask(loads)
    stopped.end()
    policy = tmp_path / "policy.yaml"
    policy.write_text("default: {reject: all}")
    stopped.start(image_policy=str(policy))

    async def refuses(client: Client) -> None:
        assert (await refusal(client, wish(image)))[0] is Status.PERMISSION_DENIED
        status, sentence = await refusal(client, wish(image, NEVER))
        assert (status, "image policy of now" in sentence) == (Status.NOT_FOUND, True)

    stopped.ask(refuses)


def test_refusals_of_registries_and_of_what_they_hold(empty: Daemon, registry: FakeRegistry, image: str) -> None:
    async def story(client: Client) -> None:
        host = registry.address
        for url, status, words in (
            (f"{host}/tools/none:v1", Status.NOT_FOUND, "none"),
            ("127.0.0.1:1/x:1", Status.UNAVAILABLE, "cannot be reached"),
            ("https://x/y", Status.INVALID_ARGUMENT, "scheme"),
        ):
            found = await refusal(client, wish(url))
            assert (found[0], words in found[1]) == (status, True), found
        registry.faults.wrong_bytes = True
        status, sentence = await refusal(client, wish(image))
        assert status is Status.DATA_LOSS
        assert "sha256:" in sentence

    empty.ask(story)


def test_credentials_go_to_the_registry_and_nowhere_else(stopped: Daemon, compiled: Compiled) -> None:
    with served_registry(users={"me": "s3cret-word"}) as registry:
        put(registry, bytecode_image({None: compiled("counters").read_bytes()}, programs={}, maps={}))
        url = f"{registry.address}/tools/counters:v1"
        stopped.start()

        async def story(client: Client) -> None:
            assert (await refusal(client, wish(url)))[0] is Status.PERMISSION_DENIED
            loaded = await load(client, wish(url, username="me", password="s3cret-word"))
            assert "s3cret-word" not in repr(loaded)

        stopped.ask(story)
        assert "s3cret-word" not in stopped.log
    kept = [path.read_bytes() for path in stopped.folder.rglob("*") if path.is_file()]
    assert not any(b"s3cret-word" in content for content in kept)


def test_a_signature_that_the_policy_wants_is_judged_by_the_child(
    stopped: Daemon, tmp_path: Path, registry: FakeRegistry, image: str
) -> None:
    """What judging needs is loaded before the child gives up its rights: it may not be able to read our code later."""
    private = ec.generate_private_key(ec.SECP256R1())
    key, public, policy = tmp_path / "k.pem", tmp_path / "k.pub", tmp_path / "policy.yaml"
    key.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public.write_bytes(private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    policy.write_text(f"rules: [{{images: '{registry.address}', anyOf: [{{key: k.pub}}]}}]")
    stopped.start(image_policy=str(policy))

    async def story(client: Client) -> None:
        status, sentence = await refusal(client, wish(image))
        assert (status, "no signature" in sentence) == (Status.PERMISSION_DENIED, True)
        async with RegistryClient.opened(registries=RegistriesConfig()) as pusher:
            reference = Reference.parse(image)
            await sign(pusher, reference, await pusher.head(reference), key=key)
        loaded = await load(client, wish(image))
        assert loaded.kernel_info.id

    stopped.ask(story)
