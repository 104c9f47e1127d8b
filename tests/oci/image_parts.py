"""Real bytes of images as the tools of the world make them: files, archives, configs, manifests."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import struct
import tarfile
from collections.abc import Mapping
from typing import Any

CORE = b"\0asm\1\0\0\0" + b"\0\5\4name"
COMPONENT = b"\0asm\x0d\0\1\0" + b"\0\5\4name"
OCI_TAR = "application/vnd.oci.image.layer.v1.tar+gzip"
DOCKER_TAR = "application/vnd.docker.image.rootfs.diff.tar.gzip"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"


def bpf_object(order: str = "little", machine: int = 247, filling: bytes = b"") -> bytes:
    """Head of an ELF file, as far as anybody here looks."""
    mark = "<" if order == "little" else ">"
    ident = b"\x7fELF\2" + (b"\1" if order == "little" else b"\2") + b"\1" + bytes(9)
    return ident + struct.pack(f"{mark}HHI", 1, machine, 1) + bytes(40) + filling


def tar(files: Mapping[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def tar_of(*entries: tuple[tarfile.TarInfo, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for info, content in entries:
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def tgz(files: Mapping[str, bytes]) -> bytes:
    return gzip.compress(tar(files), mtime=0)


def digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def descriptor(media_type: str, blob: bytes, **more: Any) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": digest_of(blob), "size": len(blob), **more}


def manifest(
    *layers: tuple[str, bytes], config: tuple[str, bytes] = ("application/vnd.oci.empty.v1+json", b"{}"), **more: Any
) -> dict[str, Any]:
    return {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": descriptor(*config),
        "layers": [descriptor(*layer) for layer in layers],
        **more,
    }


def container_config(
    labels: Mapping[str, str] | None = None,
    *,
    architecture: str = "amd64",
    os: str = "linux",
    entrypoint: list[str] | None = None,
) -> bytes:
    inner: dict[str, Any] = {}
    if labels is not None:
        inner["Labels"] = dict(labels)
    if entrypoint is not None:
        inner["Entrypoint"] = entrypoint
    return json.dumps({"architecture": architecture, "os": os, "config": inner, "rootfs": {}}).encode()
