"""Pulls: what each policy asks of a registry, what the store answers without one, what comes out of each form."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from conductor.errors import ImageDamaged, ImageNotFound, ImageUntrusted, ImageUnusable, RegistryAway
from conductor.model.image import ImageKind, Platform, PullPhase
from conductor.oci.pack import Packed, bytecode_image, wasm_image
from tests.fakes.registry import FakeRegistry
from tests.oci.image_parts import (
    COMPONENT,
    CORE,
    OCI_CONFIG,
    OCI_TAR,
    bpf_object,
    container_config,
    digest_of,
    manifest,
    tar,
    tgz,
)
from tests.oci.pulling import ALWAYS, IF_NOT_PRESENT, NEVER, Distrust, Place, place, push, push_raw

BYTECODE, WASM = ImageKind.BYTECODE, ImageKind.WASM
MODULE = wasm_image(CORE)
OTHER = wasm_image(CORE + b"\0\2\1x")


def bytecode(*architectures: str) -> Packed:
    objects: dict[Platform | None, bytes] = {
        Platform("linux", name): bpf_object(filling=name.encode()) for name in architectures
    }
    return bytecode_image(objects or {None: bpf_object()}, programs={"count": "xdp"}, maps={"counts": "hash"})


def story(root: Path, tell: Callable[[Place], Awaitable[None]], **how: Any) -> None:
    async def run() -> None:
        async with place(root / "cache", **how) as made:
            await tell(made)

    asyncio.run(run())


def test_a_module_is_pulled_and_then_used_without_the_registry(tmp_path: Path) -> None:
    async def tell(here: Place) -> None:
        digest = push(here.registry, MODULE)
        pulled = await here.pull()
        assert (pulled.digest, pulled.content, pulled.path.read_bytes()) == (digest, digest_of(CORE), CORE)
        here.registry.seen.clear()
        assert (await here.pull(policy=NEVER)).path == pulled.path
        assert here.registry.seen == []
        assert here.store.counts.hits == 1

    story(tmp_path, tell)


def test_bytecode_is_pulled_with_what_its_labels_say(tmp_path: Path) -> None:
    async def tell(here: Place) -> None:
        push(here.registry, bytecode())
        pulled = await here.pull(kind=BYTECODE)
        assert pulled.path.read_bytes() == bpf_object()
        assert (pulled.functions, pulled.maps) == ({"count": "xdp"}, {"counts": "hash"})

    story(tmp_path, tell)


def test_of_an_index_the_nodes_own_is_taken_and_the_index_is_what_is_pinned(tmp_path: Path) -> None:
    async def tell(here: Place) -> None:
        digest = push(here.registry, bytecode("arm64", "amd64"))
        pulled = await here.pull(kind=BYTECODE)
        assert (pulled.digest, pulled.path.read_bytes()) == (digest, bpf_object(filling=b"amd64"))
        assert (await here.pull(kind=BYTECODE, policy=NEVER, pinned=digest)).content == pulled.content

    story(tmp_path, tell)


def test_an_index_without_the_node_names_what_it_has(tmp_path: Path) -> None:
    async def tell(here: Place) -> None:
        push(here.registry, bytecode("arm64", "s390x"))
        with pytest.raises(ImageUnusable, match=r"team/tool:v1: .*platforms it has: linux/arm64, linux/s390x"):
            await here.pull(kind=BYTECODE)

    story(tmp_path, tell)


CONFIG = container_config()


@pytest.mark.parametrize(
    ("layer", "kind", "content"),
    [
        (tgz({"plugin.wasm": CORE}), WASM, CORE),
        (tar({"a/counter.wasm": CORE}), WASM, CORE),
        (gzip.compress(CORE, mtime=0), WASM, CORE),
        (tgz({"xdp.o": bpf_object()}), BYTECODE, bpf_object()),
        (bpf_object(), BYTECODE, bpf_object()),
        (gzip.compress(bpf_object(), mtime=0), BYTECODE, bpf_object()),
    ],
    ids=["plugin", "plain tar", "bare module", "object", "bare object", "gzip of an object"],
)
def test_container_images_and_bare_layers(tmp_path: Path, layer: bytes, kind: ImageKind, content: bytes) -> None:
    async def tell(here: Place) -> None:
        push_raw(here.registry, manifest((OCI_TAR, layer), config=(OCI_CONFIG, CONFIG)), layer, CONFIG)
        assert (await here.pull(kind=kind)).path.read_bytes() == content
        assert list((tmp_path / "cache" / "tmp").iterdir()) == []

    story(tmp_path, tell)


@pytest.mark.parametrize(
    ("layer", "kind"),
    [
        (tgz({"plugin.wasm": CORE}), WASM),
        (bpf_object(), BYTECODE),
        (tgz({"x.o": bpf_object()}), BYTECODE),
        (CORE, WASM),
    ],
)
def test_whoever_takes_either_is_told_which_it_was(tmp_path: Path, layer: bytes, kind: ImageKind) -> None:
    async def tell(here: Place) -> None:
        push_raw(here.registry, manifest((OCI_TAR, layer), config=(OCI_CONFIG, CONFIG)), layer, CONFIG)
        assert (await here.pull(kind=None)).kind is kind
        assert (await here.pull(kind=kind, policy=NEVER)).kind is kind

    story(tmp_path, tell)


def test_a_rootfs_of_several_layers_is_searched_from_the_top(tmp_path: Path) -> None:
    config = container_config(architecture="wasm", os="wasip1", entrypoint=["/counter.wasm"])
    low, top = tgz({"counter.wasm": CORE}), tgz({"etc/config.json": b"{}"})

    async def tell(here: Place) -> None:
        push_raw(here.registry, manifest((OCI_TAR, low), (OCI_TAR, top), config=(OCI_CONFIG, config)), low, top, config)
        assert (await here.pull()).content == digest_of(CORE)

    story(tmp_path, tell)


@pytest.mark.parametrize(
    ("layer", "kind", "said"),
    [
        (tgz({"plugin.wasm": COMPONENT}), WASM, "'plugin.wasm' is a component"),
        (tgz({"a.txt": b"x", "b.sh": b"y"}), WASM, "no .wasm file in it .found 'a.txt', 'b.sh'"),
        (tgz({"x.o": bpf_object("big")}), BYTECODE, "byte order"),
        (tgz({"x.o": bpf_object(machine=62)}), BYTECODE, "machine 62"),
        (tgz({"a.o": bpf_object(), "b.o": bpf_object()}), BYTECODE, "2 files that could be meant"),
        (b"neither", BYTECODE, "neither a tar archive"),
    ],
)
def test_what_cannot_run_is_refused_with_its_name_and_not_kept(
    tmp_path: Path, layer: bytes, kind: ImageKind, said: str
) -> None:
    async def tell(here: Place) -> None:
        push_raw(here.registry, manifest((OCI_TAR, layer), config=(OCI_CONFIG, CONFIG)), layer, CONFIG)
        with pytest.raises(ImageUnusable, match=rf"team/tool:v1: .*{said}"):
            await here.pull(kind=kind)
        assert here.store.images() == ()
        assert here.store.bytes_used == 0

    story(tmp_path, tell)


def test_if_not_present_keeps_the_digest_when_the_tag_moves_and_says_so(tmp_path: Path) -> None:
    async def tell(here: Place) -> None:
        old = push(here.registry, MODULE)
        assert (await here.pull()).note == ""
        new = push(here.registry, OTHER)
        for pinned in ("", old):
            pulled = await here.pull(pinned=pinned)
            assert pulled.digest == old
            assert f"tag v1 moved: it names {new} now, and {old} is kept" in pulled.note

    story(tmp_path, tell)


def test_always_takes_what_the_tag_names_now(tmp_path: Path) -> None:
    async def tell(here: Place) -> None:
        push(here.registry, MODULE)
        await here.pull(policy=ALWAYS)
        new = push(here.registry, OTHER)
        assert (await here.pull(policy=ALWAYS)).digest == new
        assert (await here.pull(policy=NEVER)).digest == new

    story(tmp_path, tell)


def test_always_asks_for_no_more_than_the_digest_when_nothing_changed(tmp_path: Path) -> None:
    async def tell(here: Place) -> None:
        push(here.registry, MODULE)
        await here.pull(policy=ALWAYS)
        here.registry.seen.clear()
        await here.pull(policy=ALWAYS)
        assert [seen.method for seen in here.registry.seen] == ["HEAD"]

    story(tmp_path, tell)


@pytest.mark.parametrize("policy", [IF_NOT_PRESENT, ALWAYS, NEVER])
def test_a_pinned_digest_runs_from_the_store_while_the_registry_is_away(tmp_path: Path, policy: Any) -> None:
    async def tell() -> None:
        async with FakeRegistry.serving() as registry, place(tmp_path / "cache", registry=registry) as here:
            push(registry, MODULE)
            digest = (await here.pull()).digest
        async with place(tmp_path / "cache", registry=registry) as here:
            assert (await here.pull(pinned=digest, policy=policy)).path.read_bytes() == CORE
            held = here.puller.held(digest)
            assert held is not None
            assert held.content == digest_of(CORE)

    asyncio.run(tell())


def test_always_without_a_pin_needs_the_registry(tmp_path: Path) -> None:
    async def tell() -> None:
        async with FakeRegistry.serving() as registry, place(tmp_path / "cache", registry=registry) as here:
            push(registry, MODULE)
            await here.pull()
        async with place(tmp_path / "cache", registry=registry) as here:
            with pytest.raises(RegistryAway):
                await here.pull(policy=ALWAYS)

    asyncio.run(tell())


def test_a_pinned_digest_is_fetched_whatever_the_tag_names(tmp_path: Path) -> None:
    async def tell(here: Place) -> None:
        old = push(here.registry, MODULE)
        push(here.registry, OTHER)
        assert (await here.pull(pinned=old)).content == digest_of(CORE)
        assert (await here.pull(f"team/tool@{old}")).digest == old

    story(tmp_path, tell)


def test_never_does_not_ask_and_says_what_to_do(tmp_path: Path) -> None:
    async def tell(here: Place) -> None:
        push(here.registry, MODULE)
        with pytest.raises(ImageNotFound, match=r"pull policy is Never; pull it first"):
            await here.pull(policy=NEVER)
        assert here.registry.seen == []

    story(tmp_path, tell)


def test_nothing_is_fetched_of_what_is_not_trusted(tmp_path: Path) -> None:
    verifier = Distrust()

    async def tell(here: Place) -> None:
        digest = push(here.registry, MODULE)
        with pytest.raises(ImageUntrusted):
            await here.pull()
        assert (verifier.asked, here.blob_requests) == ([digest], 0)
        verifier.trusted.add(digest)
        assert (await here.pull()).verdict == "key test.pub"
        assert here.store.images()[0].verdict == "key test.pub"

    story(tmp_path, tell, verifier=verifier)


def test_what_is_in_the_store_is_held_against_the_policy_again(tmp_path: Path) -> None:
    verifier = Distrust()

    async def tell(here: Place) -> None:
        digest = push(here.registry, MODULE)
        verifier.trusted.add(digest)
        await here.pull()
        verifier.trusted.clear()
        for policy in (NEVER, IF_NOT_PRESENT, ALWAYS):
            with pytest.raises(ImageUntrusted):
                await here.pull(policy=policy)

    story(tmp_path, tell, verifier=verifier)


def test_what_an_audit_would_refuse_is_said_beside_the_image(tmp_path: Path) -> None:
    async def tell(here: Place) -> None:
        push(here.registry, MODULE)
        assert (await here.pull()).note == "the image policy only audits: nobody signed it"

    story(tmp_path, tell, verifier=Distrust(audits=True))


def test_a_file_damaged_on_disk_is_fetched_again(tmp_path: Path) -> None:
    async def tell() -> None:
        async with FakeRegistry.serving() as registry:
            push(registry, MODULE)
            async with place(tmp_path / "cache", registry=registry) as here:
                path = (await here.pull()).path
            path.chmod(0o600)
            path.write_bytes(CORE[:-1] + b"X")
            async with place(tmp_path / "cache", registry=registry) as here:
                with pytest.raises(ImageDamaged, match="damaged on disk"):
                    await here.pull(policy=NEVER)
                assert (await here.pull()).path.read_bytes() == CORE

    asyncio.run(tell())


def test_progress_goes_from_resolve_to_done(tmp_path: Path) -> None:
    async def tell(here: Place) -> None:
        push(here.registry, MODULE)
        await here.pull()
        phases = list(dict.fromkeys(one.phase for one in here.heard))
        assert phases == [PullPhase.RESOLVE, PullPhase.VERIFY, PullPhase.FETCH, PullPhase.DONE]
        assert [(one.done, one.total) for one in here.heard if one.phase is PullPhase.FETCH][-1] == (len(CORE),) * 2
        assert {one.reference for one in here.heard} == {str(here.ref())}

    story(tmp_path, tell)


def test_whoever_asked_can_hold_it_at_once(tmp_path: Path) -> None:
    async def tell(here: Place) -> None:
        push(here.registry, MODULE)
        pulled = await here.pull(holder="program")
        assert here.store.images()[0].in_use
        here.store.release(pulled.digest, "program")
        assert not here.store.images()[0].in_use

    story(tmp_path, tell)


def test_two_references_to_one_digest_share_it(tmp_path: Path) -> None:
    async def tell(here: Place) -> None:
        push(here.registry, MODULE)
        push(here.registry, MODULE, name="team/copy")
        first = await here.pull()
        before = here.blob_requests
        assert (await here.pull("team/copy:v1")).path == first.path
        assert here.blob_requests == before

    story(tmp_path, tell)
