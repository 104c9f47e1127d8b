"""Which manifest of an index this node takes."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from conductor.errors import ImageUnusable
from conductor.model.image import Descriptor, ImageKind, Platform

__all__ = ["choose", "entries_of", "node_platform"]

_ENTRIES_MOST: Final = 1000
_ARCHITECTURES: Final = {
    "x86_64": "amd64",
    "aarch64": "arm64",
    "armv7l": "arm",
    "i686": "386",
    "loongarch64": "loong64",
}
"""Linux' word -> Go's, where they differ."""
_ATTESTATION: Final = "vnd.docker.reference.type"


def node_platform(machine: str = "") -> Platform:
    """Name this node's platform in Go's words; `machine` is what uname says."""
    told = machine or platform.machine()
    return Platform("linux", _ARCHITECTURES.get(told, told))


def entries_of(index: Mapping[str, Any]) -> tuple[Descriptor, ...]:
    """List the images of an index; attestations that build tools put beside them are none. Raises `ImageUnusable`."""
    raw = index.get("manifests")
    if not isinstance(raw, list) or len(raw) > _ENTRIES_MOST:
        raise ImageUnusable(f"its index has no list of at most {_ENTRIES_MOST} manifests")
    found = (Descriptor.parse(one, f"its index' manifest {i}") for i, one in enumerate(raw))
    return tuple(one for one in found if not _is_attestation(one))


def choose(
    entries: Sequence[Descriptor], kind: ImageKind, node: Platform, *, byte_order: str = sys.byteorder
) -> Descriptor:
    """Choose for this node: wasm first for modules, then the node's own, then a lone one. Raises `ImageUnusable`."""
    if kind is ImageKind.WASM:
        found = _first(e for e in entries if _architecture(e).startswith("wasm") and _os(e) != "wasip2")
        found = found or _first(e for e in entries if _architecture(e).startswith("wasm")) or _own(entries, node)
        found = found or (entries[0] if len(entries) == 1 else None)
    else:
        found = _own(entries, node) or _first(e for e in entries if _architecture(e) == _bpf(byte_order))
        lone = entries[0] if len(entries) == 1 and not _architecture(entries[0]) else None
        found = found or lone
    if found is None:
        raise ImageUnusable(_missing(entries, kind, node))
    return found


def _own(entries: Sequence[Descriptor], node: Platform) -> Descriptor | None:
    """Of several variants the exact one, else the one that names none."""
    own = [e for e in entries if _architecture(e) == node.architecture and _os(e) in ("", node.os)]
    own.sort(key=lambda e: e.platform is None or e.platform.variant not in (node.variant, ""))
    return own[0] if own else None


def _missing(entries: Sequence[Descriptor], kind: ImageKind, node: Platform) -> str:
    there = ", ".join(dict.fromkeys(str(e.platform or "none named") for e in entries[:20])) or "none"
    wanted = "wasm" if kind is ImageKind.WASM else _bpf(sys.byteorder)
    return (
        f"its index has nothing for {node} or {wanted}; platforms it has: {there}. Push one for this node "
        f"(conductor image build {'wasm' if kind is ImageKind.WASM else f'bytecode {node}=FILE'})"
    )


def _first(found: Iterable[Descriptor]) -> Descriptor | None:
    return next(iter(found), None)


def _is_attestation(entry: Descriptor) -> bool:
    return _ATTESTATION in entry.annotations or (_os(entry), _architecture(entry)) == ("unknown", "unknown")


def _architecture(entry: Descriptor) -> str:
    return entry.platform.architecture if entry.platform else ""


def _os(entry: Descriptor) -> str:
    return entry.platform.os if entry.platform else ""


def _bpf(byte_order: str) -> str:
    """Architecture of bytecode that any machine of a byte order takes."""
    return "bpfel" if byte_order == "little" else "bpfeb"
