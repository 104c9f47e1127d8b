"""Files told by their first bytes."""

from __future__ import annotations

import gzip

import pytest

from conductor.errors import ImageUnusable
from conductor.model.image import ImageKind
from conductor.oci.contents import BUILD_CORE, check_head
from conductor.wasm import anatomy
from tests.oci.image_parts import COMPONENT, CORE, bpf_object

WASM, BYTECODE = ImageKind.WASM, ImageKind.BYTECODE


def refusal(head: bytes, kind: ImageKind, order: str = "little") -> str:
    with pytest.raises(ImageUnusable) as caught:
        check_head(head, kind, "x", byte_order=order)
    return str(caught.value)


def test_core_modules_and_objects_pass() -> None:
    check_head(CORE, WASM, "x")
    check_head(bpf_object(), BYTECODE, "x", byte_order="little")
    check_head(bpf_object("big"), BYTECODE, "x", byte_order="big")


@pytest.mark.parametrize(
    ("head", "said"),
    [
        (COMPONENT, "is a component"),
        (b"\0asm\2\0\0\0", "version 02000000"),
        (bpf_object(), "an ELF file and no wasm"),
        (gzip.compress(CORE, mtime=0), "compressed with gzip"),
        (b"", "is empty"),
        (b"<html>", "begins 3c68746d6c3e"),
    ],
)
def test_what_is_no_core_module_is_told_apart(head: bytes, said: str) -> None:
    refused = refusal(head, WASM)
    assert said in refused
    assert BUILD_CORE in refused


@pytest.mark.parametrize(
    ("head", "order", "said"),
    [
        (CORE, "little", "a wasm file and no BPF object"),
        (bpf_object("big"), "little", "byte order, this node's is little"),
        (bpf_object(machine=62), "little", "machine 62"),
        (bpf_object()[:12], "little", "no BPF object"),
    ],
)
def test_what_is_no_object_is_told_apart(head: bytes, order: str, said: str) -> None:
    assert said in refusal(head, BYTECODE, order)


def test_images_and_files_are_told_the_same_way_to_build_a_core_module() -> None:
    assert anatomy._CORE == BUILD_CORE
