"""A registry of images on the node's loopback, where agents reach it without TLS."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from conductor.net.netns import inside
from conductor.oci.pack import Packed, bytecode_image, wasm_image
from tests.fakes.registry import FakeRegistry
from tests.fakes.registry_thread import served_registry
from tests.real_node.machine import Machine

__all__ = ["Shelf"]


class Shelf:
    """Images, put there by a test."""

    def __init__(self, *, registry: FakeRegistry) -> None:
        self.registry = registry

    @classmethod
    @contextmanager
    def open(cls, machine: Machine) -> Iterator[Shelf]:
        """Serve while the body runs."""
        with (
            inside(machine.network_path, lambda: socket.create_server(("127.0.0.1", 0))) as listening,
            served_registry(listening=listening) as registry,
        ):
            yield cls(registry=registry)

    def put_object(self, name: str, path: Path, **programs: str) -> str:
        """Put a BPF object with these programs (name and type); answers its reference."""
        return self._put(name, bytecode_image({None: path.read_bytes()}, programs=programs, maps={}))

    def put_guest(self, name: str, module: bytes) -> str:
        """Put a wasm module; answers its reference."""
        return self._put(name, wasm_image(module))

    def _put(self, name: str, packed: Packed) -> str:
        for blob in packed.blobs:
            self.registry.put_blob(blob)
        one = packed.manifests[0]
        self.registry.put_manifest(name, "v1", one.body, one.media_type)
        return f"{self.registry.address}/{name}:v1"
