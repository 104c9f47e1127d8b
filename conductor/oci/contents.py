"""What a file's first bytes say it is: a core module, a component, a BPF object, something else."""

from __future__ import annotations

import sys
from typing import Final

from conductor.errors import ImageUnusable
from conductor.model.image import ImageKind

__all__ = ["BUILD_CORE", "HEAD_BYTES", "check_head", "is_file"]

HEAD_BYTES: Final = 20
"""How much of a file `check_head` looks at."""
BUILD_CORE: Final = (
    "build a core module: C with -mexec-model=reactor, Rust for wasm32-unknown-unknown as a cdylib, Go with "
    "-buildmode=c-shared, AssemblyScript (conductor wasm new, then conductor wasm build)"
)
_WASM: Final = b"\0asm"
_CORE: Final = b"\0asm\1\0\0\0"
_ELF: Final = b"\x7fELF"
_EM_BPF: Final = 247
_BYTE_ORDERS: Final = {1: "little", 2: "big"}
_KNOWN: Final = (
    (_ELF, "an ELF file"),
    (_WASM, "a wasm file"),
    (b"\x1f\x8b", "compressed with gzip"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd"),
    (b"#!", "a script"),
    (b"{", "JSON"),
)


def is_file(head: bytes) -> bool:
    """Tell whether these bytes begin a wasm or ELF file, rather than an archive of such."""
    return head[:4] in (_WASM, _ELF)


def check_head(head: bytes, kind: ImageKind, name: str, *, byte_order: str = sys.byteorder) -> None:
    """Check that a file is what its kind says. Raises `ImageUnusable`."""
    if kind is ImageKind.WASM:
        _check_wasm(head, name)
    else:
        _check_object(head, name, byte_order)


def _check_wasm(head: bytes, name: str) -> None:
    if head[:8] == _CORE:
        return
    if head[:4] == _WASM and head[6:8] == b"\1\0":
        raise ImageUnusable(f"{name} is a component, which is not run here; {BUILD_CORE}")
    if head[:4] == _WASM:
        raise ImageUnusable(f"{name} is wasm of version {head[4:8].hex()}, and only version 1 is run; {BUILD_CORE}")
    raise ImageUnusable(f"{name} is {_told(head)} and no wasm module; {BUILD_CORE}")


def _check_object(head: bytes, name: str, byte_order: str) -> None:
    build = "build it with clang -target bpf -g -O2"
    if head[:4] != _ELF or len(head) < HEAD_BYTES:
        raise ImageUnusable(f"{name} is {_told(head)} and no BPF object; {build}")
    order = _BYTE_ORDERS.get(head[5], "")
    if order != byte_order:
        raise ImageUnusable(
            f"{name} is bytecode of {order or 'no known'} byte order, this node's is {byte_order}; push an index "
            "that has an object for it (conductor image build bytecode linux/ARCH=FILE)"
        )
    machine = int.from_bytes(head[18:20], "little" if order == "little" else "big")
    if machine != _EM_BPF:
        raise ImageUnusable(f"{name} is ELF for machine {machine}, and BPF is {_EM_BPF}; {build}")


def _told(head: bytes) -> str:
    if not head:
        return "empty"
    return next((what for magic, what in _KNOWN if head.startswith(magic)), f"something that begins {head[:8].hex()}")
