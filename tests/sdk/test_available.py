"""A module of ours in a registry, pulled into a node's store: `conductor list --available` knows what it needs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from conductor.cli.wasm_project import Language
from conductor.oci.pack import wasm_image
from tests.e2e.node import Node
from tests.fakes.registry import FakeRegistry
from tests.fakes.registry_thread import served_registry
from tests.sdk.conftest import Make

pytestmark = [pytest.mark.kernel, pytest.mark.slow]


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    with served_registry() as registry:
        yield registry


def test_a_pulled_module_is_available_with_its_needs(node: Node, registry: FakeRegistry, made: Make) -> None:
    folder = made(Language.C, "syscall_counter")
    (module,) = folder.glob("*.wasm")
    packed = wasm_image(module.read_bytes())
    for blob in packed.blobs:
        registry.put_blob(blob)
    registry.put_manifest("tools/counter", "v1", packed.manifests[0].body, packed.manifests[0].media_type)
    reference = f"{registry.address}/tools/counter:v1"
    assert [item for item in listed(node) if item["type"] == "Wasm"] == []
    node.cli("pull", reference)
    before = node.json("image", "list")["items"]
    (shown,) = (item for item in listed(node) if item["type"] == "Wasm")
    assert shown["name"] == reference
    assert [(need["name"], need["access"]) for need in shown["needs"]] == [("counts", "Read")]
    assert node.json("image", "list")["items"] == before, "looking is no use"
    table = node.cli("list", "--available", "--type", "wasm", "-o", "wide").stdout
    assert f"WebAssembly module of {module.stat().st_size} bytes" in table
    assert "counts" in table
    assert node.json("list", "--available", "--type", "builtin")["items"][0]["type"] == "Builtin"


def listed(node: Node) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = node.json("list", "--available")["items"]
    return items
