"""Which entry of an index a node takes."""

from __future__ import annotations

from typing import Any

import pytest

from conductor.errors import ImageUnusable
from conductor.model.image import Descriptor, ImageKind, Platform
from conductor.oci.platforms import choose, entries_of, node_platform
from tests.oci.image_parts import OCI_MANIFEST, descriptor

WASM, BYTECODE = ImageKind.WASM, ImageKind.BYTECODE
NODE = Platform("linux", "amd64")


def index(*platforms: str) -> tuple[Descriptor, ...]:
    return entries_of({"manifests": [entry(platform) for platform in platforms]})


def entry(platform: str, **more: Any) -> dict[str, Any]:
    words = dict(zip(("os", "architecture", "variant"), platform.split("/"), strict=False)) if platform else {}
    return descriptor(OCI_MANIFEST, platform.encode(), **({"platform": words} if words else {}), **more)


def chosen(kind: ImageKind, *platforms: str, order: str = "little") -> str:
    return str(choose(index(*platforms), kind, NODE, byte_order=order).platform or "")


def test_a_module_prefers_wasm_over_the_node() -> None:
    assert chosen(WASM, "linux/amd64", "wasip1/wasm") == "wasip1/wasm"


def test_a_module_prefers_wasi_1_over_components() -> None:
    assert chosen(WASM, "wasip2/wasm", "wasi/wasm") == "wasi/wasm"


def test_a_module_takes_the_nodes_own_and_then_a_lone_entry() -> None:
    assert chosen(WASM, "linux/arm64", "linux/amd64") == "linux/amd64"
    assert chosen(WASM, "linux/arm64") == "linux/arm64"


def test_bytecode_takes_the_nodes_own() -> None:
    assert chosen(BYTECODE, "linux/arm64", "linux/amd64", "linux/bpfel") == "linux/amd64"


@pytest.mark.parametrize(("order", "taken"), [("little", "linux/bpfel"), ("big", "linux/bpfeb")])
def test_bytecode_for_any_machine_of_a_byte_order(order: str, taken: str) -> None:
    assert chosen(BYTECODE, "linux/bpfeb", "linux/bpfel", order=order) == taken


def test_bytecode_of_another_machine_is_refused_even_when_it_is_alone() -> None:
    with pytest.raises(ImageUnusable, match=r"nothing for linux/amd64.*platforms it has: linux/arm64/v8"):
        choose(index("linux/arm64/v8"), BYTECODE, NODE)


def test_bytecode_that_names_no_platform_is_taken_when_it_is_alone() -> None:
    assert chosen(BYTECODE, "") == ""


def test_of_two_variants_the_plain_one_is_taken() -> None:
    assert chosen(BYTECODE, "linux/amd64/v4", "linux/amd64") == "linux/amd64"


def test_attestations_are_no_images() -> None:
    raw = [
        entry("unknown/unknown"),
        entry("linux/amd64"),
        entry("", annotations={"vnd.docker.reference.type": "attestation-manifest"}),
    ]
    assert [str(one.platform) for one in entries_of({"manifests": raw})] == ["linux/amd64"]


def test_an_empty_index_is_refused() -> None:
    with pytest.raises(ImageUnusable, match="platforms it has: none"):
        choose((), WASM, NODE)


@pytest.mark.parametrize("raw", [None, {}, "x", [1], [{}] * 1001])
def test_an_index_that_is_none_is_refused(raw: object) -> None:
    with pytest.raises(ImageUnusable):
        entries_of({"manifests": raw})


def test_machines_are_named_in_gos_words() -> None:
    words = {machine: node_platform(machine).architecture for machine in ("x86_64", "aarch64", "s390x", "riscv64")}
    assert words == {"x86_64": "amd64", "aarch64": "arm64", "s390x": "s390x", "riscv64": "riscv64"}
