"""Images built here: the same bytes every time, read back by the same rules as anybody's."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Mapping
from typing import Any

import pytest

from conductor.errors import ImageUnusable, InvalidSpec
from conductor.model.image import ImageKind, Platform
from conductor.oci.forms import Family, classify
from conductor.oci.pack import ABI_ANNOTATION, NEEDS_ANNOTATION, Packed, bytecode_image, wasm_image
from conductor.oci.platforms import choose, entries_of
from conductor.oci.unpack import UnpackLimits, choose_member, extract, survey
from tests.oci.image_parts import COMPONENT, CORE, bpf_object, digest_of

AMD64, ARM64 = Platform("linux", "amd64"), Platform("linux", "arm64")
PROGRAMS, MAPS = {"count": "xdp", "drop": "tc"}, {"counts": "per_cpu_hash"}


def bytecode(objects: Mapping[Platform | None, bytes]) -> Packed:
    return bytecode_image(objects, programs=PROGRAMS, maps=MAPS)


def blobs(packed: Packed) -> dict[str, bytes]:
    return {digest_of(blob): blob for blob in packed.blobs}


def parsed(packed: Packed, which: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(packed.manifests[which].body)
    return found


def test_a_module_packed_here_is_family_a() -> None:
    packed = wasm_image(CORE, annotations={"a": "b"}, needs='{"abi":1}')
    manifest = parsed(packed)
    config = blobs(packed)[manifest["config"]["digest"]]
    form = classify(manifest, config, wanted=ImageKind.WASM)
    assert form.family is Family.CNCF
    assert blobs(packed)[form.layers[0].digest] == CORE
    assert form.annotations[ABI_ANNOTATION] == "1"
    assert form.annotations[NEEDS_ANNOTATION] == '{"abi":1}'
    assert form.annotations["org.opencontainers.image.title"] == "module.wasm"
    assert json.loads(config)["os"] == "wasip1"


def test_a_component_is_not_packed() -> None:
    with pytest.raises(ImageUnusable, match="component"):
        wasm_image(COMPONENT)


def test_an_object_packed_here_has_bpfmans_form() -> None:
    packed = bytecode({None: bpf_object()})
    manifest = parsed(packed)
    form = classify(manifest, blobs(packed)[manifest["config"]["digest"]], wanted=ImageKind.BYTECODE)
    assert (form.functions, form.maps) == (PROGRAMS, MAPS)
    layer = io.BytesIO(blobs(packed)[form.layers[0].digest])
    member = choose_member(survey(layer, UnpackLimits()), ImageKind.BYTECODE, form.names)
    assert member is not None
    out = bytearray()
    extract(layer, member, out.extend, UnpackLimits())
    assert bytes(out) == bpf_object()


def test_the_layer_is_a_tar_and_a_gzip_to_others_too_and_its_diff_id_is_right() -> None:
    content = bpf_object(filling=bytes(range(256)) * 700)
    packed = bytecode({None: content})
    manifest = parsed(packed)
    layer = blobs(packed)[manifest["layers"][0]["digest"]]
    archive = gzip.decompress(layer)
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
        info = opened.getmembers()[0]
        read = opened.extractfile(info)
        assert read is not None
        assert (info.name, info.mode, info.mtime, info.uid, read.read()) == ("program.o", 0o644, 0, 0, content)
    config = json.loads(blobs(packed)[manifest["config"]["digest"]])
    assert config["rootfs"]["diff_ids"] == [digest_of(archive)]


def test_several_platforms_make_an_index() -> None:
    packed = bytecode({ARM64: bpf_object(filling=b"arm"), AMD64: bpf_object(filling=b"amd")})
    assert packed.index is not None
    assert packed.digest == digest_of(packed.index)
    entries = entries_of(json.loads(packed.index))
    taken = choose(entries, ImageKind.BYTECODE, AMD64, byte_order="little")
    assert taken.digest in {m.digest for m in packed.manifests if m.platform == AMD64}


def test_one_object_for_a_platform_makes_an_index_of_one() -> None:
    assert bytecode({AMD64: bpf_object()}).index is not None


@pytest.mark.parametrize("objects", [{}, {None: bpf_object(), AMD64: bpf_object()}])
def test_objects_with_and_without_a_platform_do_not_mix(objects: dict[Platform | None, bytes]) -> None:
    with pytest.raises(InvalidSpec, match="PLATFORM=FILE"):
        bytecode(objects)


def test_what_is_no_object_is_not_packed() -> None:
    with pytest.raises(ImageUnusable, match="machine 62"):
        bytecode({AMD64: bpf_object(machine=62)})


def test_the_same_input_gives_the_same_digest_in_any_order() -> None:
    one = bytecode({AMD64: bpf_object(), ARM64: bpf_object(filling=b"x")})
    other = bytecode_image(
        {ARM64: bpf_object(filling=b"x"), AMD64: bpf_object()},
        programs=dict(reversed(PROGRAMS.items())),
        maps=MAPS,
    )
    assert one == other


def test_digests_never_change() -> None:
    """Golden: they hold on any machine, Python and zlib; a change here changes what users pinned."""
    assert wasm_image(CORE).digest == "sha256:c9e0730bcac61aac6953f0a02b80bf11860b65135d275ef7deb045de721148e8"
    assert (
        bytecode({None: bpf_object()}).digest
        == "sha256:9c3a001a552530aaa2d8fb952a1794229e51496736a7d5515bb1d071e9a0d39d"
    )
    assert (
        bytecode({AMD64: bpf_object(), ARM64: bpf_object()}).digest
        == "sha256:6bf8f6b2541b66763dbea5554ec31c8be52f316c8dc2927f755b639a942e7d85"
    )
