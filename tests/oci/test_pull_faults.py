"""Pulls over a bad road: each fault has its outcome, and nothing half-written is ever there to be used."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from conductor.errors import (
    ConductorError,
    ImageDamaged,
    ImageTooLarge,
    ImageUnusable,
    RegistryAway,
    RegistryRefused,
    StoreFull,
)
from conductor.model.image import ImageKind
from conductor.oci.landing import PullLimits
from conductor.oci.pack import bytecode_image, wasm_image
from tests.fakes.registry import FakeRegistry, Faults
from tests.oci.asking import QUICK
from tests.oci.image_parts import (
    CORE,
    OCI_CONFIG,
    OCI_INDEX,
    OCI_MANIFEST,
    OCI_TAR,
    bpf_object,
    container_config,
    descriptor,
    digest_of,
    manifest,
    tgz,
)
from tests.oci.pulling import Place, place, push, push_raw

SIZE = 200_000
MODULE = CORE + b"\0\xb0\x9a\x0c\4name" + os.urandom(SIZE)
CONFIG = container_config()


def story(root: Path, tell: Callable[[Place], Awaitable[None]], **how: Any) -> None:
    async def run() -> None:
        async with place(root / "cache", **how) as here:
            await tell(here)
            assert list((root / "cache" / "tmp").iterdir()) == []

    asyncio.run(run())


async def refused(here: Place, error: type[ConductorError], **how: Any) -> str:
    """A pull fails so, and leaves nothing behind."""
    with pytest.raises(error) as caught:
        await here.pull(**how)
    assert here.store.images() == ()
    assert here.store.bytes_used == 0
    assert "team/tool" in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("tenth", range(10))
def test_a_blob_cut_anywhere_is_taken_up_where_it_broke(tmp_path: Path, tenth: int) -> None:
    async def tell(here: Place) -> None:
        push(here.registry, wasm_image(MODULE))
        config_intact, layer_cut = 1 << 20, len(MODULE) * tenth // 10
        here.registry.faults = Faults(cut_at=[config_intact, layer_cut, 1 << 20])
        assert (await here.pull()).path.read_bytes() == MODULE
        asked = [seen.range for seen in here.registry.seen if seen.path.endswith(digest_of(MODULE))]
        assert len(asked) == 2
        assert bool(asked[1]) is (tenth > 0)

    story(tmp_path, tell)


@pytest.mark.parametrize("ranges", [True, False])
def test_a_blob_cut_again_and_again_arrives(tmp_path: Path, ranges: bool) -> None:
    async def tell(here: Place) -> None:
        push(here.registry, wasm_image(MODULE))
        cuts = [SIZE // 10] * 9 if ranges else [SIZE // 10, SIZE // 5, SIZE // 3]
        here.registry.faults = Faults(cut_at=[1 << 20, *cuts, 1 << 20], no_ranges=not ranges)
        assert (await here.pull()).content == digest_of(MODULE)

    story(tmp_path, tell)


def test_a_blob_that_is_cut_for_ever_is_given_up(tmp_path: Path) -> None:
    async def tell(here: Place) -> None:
        push(here.registry, wasm_image(MODULE))
        here.registry.faults = Faults(cut_at=[1 << 20] + [0] * 50)
        await refused(here, RegistryAway)
        here.registry.faults = Faults()
        assert (await here.pull()).path.read_bytes() == MODULE

    story(tmp_path, tell)


def test_a_slow_drip_arrives(tmp_path: Path) -> None:
    async def tell(here: Place) -> None:
        push(here.registry, wasm_image(CORE + b"\0\x80\x20" + bytes(4096)))
        here.registry.faults = Faults(drip=0.002)
        assert (await here.pull()).size == len(CORE) + 3 + 4096

    story(tmp_path, tell)


def test_a_drip_too_slow_is_given_up(tmp_path: Path) -> None:
    async def tell(here: Place) -> None:
        push(here.registry, wasm_image(MODULE))
        here.registry.faults = Faults(drip=0.05)
        assert "too slow" in await refused(here, RegistryAway)

    story(tmp_path, tell, limits=replace(QUICK, grace=0.5, least_rate=1 << 20))


def test_silence_is_given_up(tmp_path: Path) -> None:
    async def tell(here: Place) -> None:
        push(here.registry, wasm_image(MODULE))
        here.registry.faults = Faults(silent=60)
        await refused(here, RegistryAway)

    story(tmp_path, tell, limits=replace(QUICK, stall=0.1, attempts=2))


def test_a_blob_of_other_bytes_is_named_by_its_digest(tmp_path: Path) -> None:
    layer = tgz({"plugin.wasm": MODULE})

    async def tell(here: Place) -> None:
        push_raw(here.registry, manifest((OCI_TAR, layer)), layer)
        here.registry.blobs[digest_of(layer)] = layer[:-1] + b"X"
        assert f"blob {digest_of(layer)}" in await refused(here, ImageDamaged)
        assert here.blob_requests == 2  # once more, past any mirror

    story(tmp_path, tell)


@pytest.mark.parametrize("change", [-100, 100])
def test_a_blob_of_another_length_is_named_by_its_digest(tmp_path: Path, change: int) -> None:
    layer = tgz({"plugin.wasm": MODULE})

    async def tell(here: Place) -> None:
        push_raw(here.registry, manifest((OCI_TAR, layer)), layer)
        here.registry.faults = Faults(wrong_length=len(layer) + change)
        assert digest_of(layer) in await refused(here, ImageDamaged)

    story(tmp_path, tell)


def test_a_mirror_that_lies_about_a_blob_is_passed_by(tmp_path: Path) -> None:
    layer = tgz({"plugin.wasm": MODULE})

    async def run() -> None:
        async with FakeRegistry.serving() as mirror, FakeRegistry.serving() as registry:
            for each in (mirror, registry):
                push_raw(each, manifest((OCI_TAR, layer)), layer)
            mirror.blobs[digest_of(layer)] = bytes(len(layer))
            registries = f'[registry."{registry.address}"]\nmirrors = ["{mirror.address}"]\n'
            async with place(tmp_path / "cache", registry=registry, registries=registries) as here:
                assert (await here.pull()).path.read_bytes() == MODULE
                assert (mirror.count("/blobs/")["GET"], registry.count("/blobs/")["GET"]) == (1, 1)

    asyncio.run(run())


@pytest.mark.parametrize(
    ("statuses", "error"),
    [
        ([401] * 9, RegistryRefused),
        ([403] * 9, RegistryRefused),
        ([503] * 99, RegistryAway),
        ([429] * 99, RegistryAway),
    ],
)
def test_refusals_of_the_registry(tmp_path: Path, statuses: list[int], error: type[ConductorError]) -> None:
    async def tell(here: Place) -> None:
        push(here.registry, wasm_image(MODULE))
        here.registry.faults = Faults(statuses=statuses)
        await refused(here, error)

    story(tmp_path, tell)


@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_trouble_that_is_over_soon_is_not_seen(tmp_path: Path, status: int) -> None:
    async def tell(here: Place) -> None:
        push(here.registry, wasm_image(MODULE))
        here.registry.faults = Faults(statuses=[status])
        assert (await here.pull()).content == digest_of(MODULE)

    story(tmp_path, tell)


def test_a_manifest_of_other_bytes_is_refused(tmp_path: Path) -> None:
    async def tell(here: Place) -> None:
        push(here.registry, wasm_image(MODULE))
        here.registry.faults = Faults(wrong_bytes=True)
        await refused(here, ImageDamaged)

    story(tmp_path, tell)


def test_a_manifest_without_end_is_refused(tmp_path: Path) -> None:
    async def tell(here: Place) -> None:
        here.registry.faults = Faults(huge_manifest=64 << 20)
        await refused(here, ImageTooLarge)

    story(tmp_path, tell)


def test_a_gzip_bomb_is_refused(tmp_path: Path) -> None:
    layer = tgz({"plugin.wasm": CORE + bytes(16 << 20)})

    async def tell(here: Place) -> None:
        push_raw(here.registry, manifest((OCI_TAR, layer)), layer)
        assert "as only an attack does" in await refused(here, ImageTooLarge)

    story(tmp_path, tell)


def test_a_path_that_leads_out_writes_nothing_there(tmp_path: Path) -> None:
    outside = tmp_path / "out.wasm"
    layer = tgz({str(outside): CORE, "../../../../escape.txt": b"x"})

    async def tell(here: Place) -> None:
        push_raw(here.registry, manifest((OCI_TAR, layer)), layer)
        assert (await here.pull()).path.read_bytes() == CORE
        assert not outside.exists()

    story(tmp_path, tell)
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]


@pytest.mark.parametrize(
    ("limits", "kind"), [(PullLimits(module=1000), ImageKind.WASM), (PullLimits(layer=100), ImageKind.BYTECODE)]
)
def test_a_layer_past_its_ceiling_is_not_fetched(tmp_path: Path, limits: PullLimits, kind: ImageKind) -> None:
    async def tell(here: Place) -> None:
        if kind is ImageKind.WASM:
            push(here.registry, wasm_image(MODULE))
        else:
            push(here.registry, bytecode_image({None: bpf_object()}, programs={}, maps={}))
        assert "make it smaller" in await refused(here, ImageTooLarge, kind=kind)
        assert here.blob_requests == 1  # its config

    story(tmp_path, tell, pull_limits=limits)


def test_a_file_past_its_ceiling_is_not_unpacked(tmp_path: Path) -> None:
    layer = tgz({"plugin.wasm": MODULE})

    async def tell(here: Place) -> None:
        push_raw(here.registry, manifest((OCI_TAR, layer)), layer)
        assert "'plugin.wasm' in it is" in await refused(here, ImageTooLarge)

    story(tmp_path, tell, pull_limits=PullLimits(module=1000))


def test_a_store_without_room_says_so_before_anything_is_fetched(tmp_path: Path) -> None:
    async def tell(here: Place) -> None:
        push(here.registry, wasm_image(MODULE))
        with pytest.raises(StoreFull, match="no room for"):
            await here.pull()
        assert here.blob_requests == 1

    story(tmp_path, tell, bytes_limit=1000)


def test_a_huge_config_is_not_fetched(tmp_path: Path) -> None:
    layer = tgz({"plugin.wasm": MODULE})

    async def tell(here: Place) -> None:
        raw = manifest((OCI_TAR, layer), config=(OCI_CONFIG, CONFIG))
        raw["config"]["size"] = 2 << 20
        push_raw(here.registry, raw, layer, CONFIG)
        await refused(here, ImageTooLarge)
        assert here.blob_requests == 0

    story(tmp_path, tell)


def test_indexes_that_lead_to_indexes_end_somewhere(tmp_path: Path) -> None:
    async def tell(here: Place) -> None:
        body = b'{"schemaVersion": 2}'
        for depth in range(5):
            inner = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [descriptor(OCI_INDEX, body)]}
            push_raw(here.registry, inner, tag="v1" if depth == 4 else f"d{depth}")
            body = here.registry.manifests["team/tool", "v1" if depth == 4 else f"d{depth}"][1]
        assert "2 deep" in await refused(here, ImageUnusable)

    story(tmp_path, tell)


def test_a_manifest_that_is_not_there_is_named(tmp_path: Path) -> None:
    async def tell(here: Place) -> None:
        raw = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [descriptor(OCI_MANIFEST, b"gone")]}
        push_raw(here.registry, raw)
        assert digest_of(b"gone") in await refused(here, ConductorError)

    story(tmp_path, tell)
