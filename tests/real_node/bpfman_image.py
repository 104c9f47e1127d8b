"""An image of bpfman's released daemon: our own image's system with the daemon on top, packed as `docker save` does."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import tarfile
from pathlib import Path

__all__ = ["REPOSITORY", "packed"]

REPOSITORY = "localhost/bpfman"
SHIM = Path(__file__).parents[1] / "real_bpfman" / "memlock.c"


def packed(binary: Path, image: Path, folder: Path) -> Path:
    """Pack `binary` over the layers of the docker archive `image`; answers the archive, `REPOSITORY`:latest.

    The shim stands in for a right that this machine may lack: see tests/real_bpfman.
    """
    shim = folder / "memlock.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", str(shim), str(SHIM), "-ldl"], check=True)
    layer = _tar({"bpfman-rpc": binary.read_bytes(), "memlock.so": shim.read_bytes()})
    archive = folder / "bpfman.tar"
    with tarfile.open(image) as below, tarfile.open(archive, "w") as out:
        (manifest,) = json.loads(_read(below, "manifest.json"))
        config = json.loads(_read(below, manifest["Config"]))
        config["config"] |= {"Entrypoint": ["/bpfman-rpc"], "Env": ["LD_PRELOAD=/memlock.so", "RUST_LOG=info"]}
        config["rootfs"]["diff_ids"].append(f"sha256:{hashlib.sha256(layer).hexdigest()}")
        config.pop("history", None)
        for name in manifest["Layers"]:
            _put(out, name, _read(below, name))
        manifest |= {"Config": "bpfman.json", "RepoTags": [f"{REPOSITORY}:latest"]}
        manifest["Layers"].append("bpfman-layer.tar")
        _put(out, "bpfman-layer.tar", layer)
        _put(out, "bpfman.json", json.dumps(config).encode())
        _put(out, "manifest.json", json.dumps([manifest]).encode())
    return archive


def _read(archive: tarfile.TarFile, name: str) -> bytes:
    file = archive.extractfile(name)
    assert file is not None
    return file.read()


def _put(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(content), 0o755
    archive.addfile(member, io.BytesIO(content))


def _tar(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, content in files.items():
            _put(archive, name, content)
    return out.getvalue()
