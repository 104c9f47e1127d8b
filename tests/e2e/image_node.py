"""Images in a registry beside a node: the fake one, which drips and lies as told."""

from __future__ import annotations

import secrets
from pathlib import Path

from conductor.oci.pack import wasm_image
from conductor.wasm.sections import custom_section
from tests.e2e.node import Node
from tests.fakes.registry import FakeRegistry
from tests.wasm.guests import counting

__all__ = ["begun", "filed", "put"]


def put(registry: FakeRegistry, name: str, *, size: int = 0) -> str:
    """Put a module of at least this size under tag v1; answers its reference."""
    packed = wasm_image(counting() + (custom_section("ballast", secrets.token_bytes(size)) if size else b""))
    for blob in packed.blobs:
        registry.put_blob(blob)
    one = packed.manifests[0]
    registry.put_manifest(name, "v1", one.body, one.media_type)
    return f"{registry.address}/{name}:v1"


def filed(node: Node) -> list[Path]:
    """Files of the image store."""
    return [path for path in (node.root / "cache/agent/images/store").rglob("*") if path.is_file()]


def begun(node: Node) -> list[Path]:
    """Those that hold some of what is being pulled."""
    return [path for path in filed(node) if path.parent.name == "tmp" and path.stat().st_size]
