"""Images as bytes: a wasm module in the CNCF's form, bytecode in bpfman's. The same input gives the same digest anywhere.

So nothing here asks the clock, and the tar+gzip layer is stored, not compressed: what compressors make of the same
bytes differs between their versions, and an object is small.
"""

from __future__ import annotations

import json
import struct
import tarfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from conductor.errors import InvalidSpec
from conductor.model.image import Descriptor, ImageKind, Platform
from conductor.oci.contents import check_head
from conductor.oci.labels import LABEL_MAPS, LABEL_PROGRAMS
from conductor.oci.manifests import digest_of
from conductor.oci.media_types import CNCF_CONFIG, OCI_CONFIG, OCI_INDEX, OCI_LAYER, OCI_MANIFEST, WASM_LAYER

__all__ = ["ABI_ANNOTATION", "NEEDS_ANNOTATION", "TITLE", "Packed", "PackedManifest", "bytecode_image", "wasm_image"]

ABI_ANNOTATION: Final = "io.ebpfconductor.abi.version"
NEEDS_ANNOTATION: Final = "io.ebpfconductor.abi.needs"
"""The module's own custom section, JSON: what is asked for can be seen before the module is fetched."""
TITLE: Final = "org.opencontainers.image.title"
_EPOCH: Final = "1970-01-01T00:00:00Z"
_GZIP_HEAD: Final = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
_BLOCK: Final = 512
_STORED_MOST: Final = 0xFFFF


@dataclass(frozen=True, slots=True)
class PackedManifest:
    """One manifest, to be pushed after its blobs."""

    body: bytes
    media_type: str
    platform: Platform | None
    digest: str


@dataclass(frozen=True, slots=True)
class Packed:
    """An image, ready to be pushed: blobs first, then manifests, then the index where there is one."""

    manifests: tuple[PackedManifest, ...]
    blobs: tuple[bytes, ...]
    index: bytes | None
    digest: str
    """What a tag is to name: the index, else the manifest."""


def wasm_image(
    module: bytes,
    *,
    annotations: Mapping[str, str] | None = None,
    title: str = "module.wasm",
    abi: int = 1,
    needs: str = "",
) -> Packed:
    """Pack a core module: one application/wasm layer. Raises `ImageUnusable` where it is none."""
    check_head(module[:64], ImageKind.WASM, title)
    layer = _descriptor(WASM_LAYER, module, {TITLE: title})
    config = _json({"architecture": "wasm", "created": _EPOCH, "layerDigests": [layer.digest], "os": "wasip1"})
    told = {ABI_ANNOTATION: str(abi), **({NEEDS_ANNOTATION: needs} if needs else {}), **(annotations or {})}
    body = _manifest(_descriptor(CNCF_CONFIG, config), layer, told)
    return Packed((_packed(body, None),), (config, module), None, digest_of(body))


def bytecode_image(
    objects: Mapping[Platform | None, bytes],
    *,
    programs: Mapping[str, str],
    maps: Mapping[str, str],
    annotations: Mapping[str, str] | None = None,
    title: str = "program.o",
) -> Packed:
    """Pack BPF objects: alone, or an index with one for each platform. `programs` and `maps` are name -> type.

    Raises `ImageUnusable` where a file is no BPF object, `InvalidSpec`.
    """
    if not objects or (None in objects and len(objects) > 1):
        raise InvalidSpec("files", "give one object, or several as PLATFORM=FILE")
    if "/" in title or not title.endswith(".o") or len(title) > 99:
        raise InvalidSpec("title", "must be a file name that ends in .o")
    labels = {LABEL_MAPS: _json(maps).decode(), LABEL_PROGRAMS: _json(programs).decode()}
    manifests, blobs = list[PackedManifest](), dict[str, bytes]()
    for platform, content in sorted(objects.items(), key=lambda one: str(one[0] or "")):
        packed, parts = _bytecode(content, platform, labels, dict(annotations or {}), title)
        manifests.append(packed)
        blobs.update({digest_of(part): part for part in parts})
    if None in objects:
        return Packed(tuple(manifests), tuple(blobs.values()), None, manifests[0].digest)
    index = _index(manifests, dict(annotations or {}))
    return Packed(tuple(manifests), tuple(blobs.values()), index, digest_of(index))


def _bytecode(
    content: bytes, platform: Platform | None, labels: dict[str, str], annotations: dict[str, str], title: str
) -> tuple[PackedManifest, tuple[bytes, bytes]]:
    order = "big" if content[5:6] == b"\2" else "little"
    check_head(content[:64], ImageKind.BYTECODE, title, byte_order=order)
    archive = _tar(title, content)
    layer = _gzip(archive)
    where = platform or Platform("linux", "bpfeb" if order == "big" else "bpfel")
    config = _json(
        {
            "architecture": where.architecture,
            "config": {"Labels": labels},
            "created": _EPOCH,
            "os": where.os,
            "rootfs": {"diff_ids": [digest_of(archive)], "type": "layers"},
            **({"variant": where.variant} if where.variant else {}),
        }
    )
    body = _manifest(_descriptor(OCI_CONFIG, config), _descriptor(OCI_LAYER, layer), annotations)
    return _packed(body, platform), (config, layer)


def _manifest(config: Descriptor, layer: Descriptor, annotations: Mapping[str, str]) -> bytes:
    return _json(
        {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": config.printed(),
            "layers": [layer.printed()],
            **({"annotations": dict(annotations)} if annotations else {}),
        }
    )


def _index(manifests: list[PackedManifest], annotations: Mapping[str, str]) -> bytes:
    entries = (Descriptor(m.media_type, m.digest, len(m.body), platform=m.platform) for m in manifests)
    return _json(
        {
            "schemaVersion": 2,
            "mediaType": OCI_INDEX,
            "manifests": [entry.printed() for entry in entries],
            **({"annotations": dict(annotations)} if annotations else {}),
        }
    )


def _packed(body: bytes, platform: Platform | None) -> PackedManifest:
    return PackedManifest(body, OCI_MANIFEST, platform, digest_of(body))


def _descriptor(media_type: str, blob: bytes, annotations: Mapping[str, str] | None = None) -> Descriptor:
    return Descriptor(media_type, digest_of(blob), len(blob), annotations or {})


def _tar(name: str, content: bytes) -> bytes:
    """Archive one file, readable by all, of nobody and of no time (POSIX ustar)."""
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(content), 0o644
    filled = content + bytes(-len(content) % _BLOCK)
    return info.tobuf(tarfile.USTAR_FORMAT) + filled + bytes(2 * _BLOCK)


def _gzip(data: bytes) -> bytes:
    """Wrap bytes as gzip (RFC 1952) in stored blocks (RFC 1951, section 3.2.4), with no name and no time."""
    blocks = bytearray(_GZIP_HEAD)
    for at in range(0, len(data), _STORED_MOST):
        part = data[at : at + _STORED_MOST]
        last = at + _STORED_MOST >= len(data)
        blocks += struct.pack("<BHH", last, len(part), len(part) ^ 0xFFFF) + part
    return bytes(blocks) + struct.pack("<II", zlib.crc32(data), len(data) & 0xFFFFFFFF)


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
