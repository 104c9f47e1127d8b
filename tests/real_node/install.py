"""Have what a node is made of beside Kubernetes itself: built once from the Go module registry, kept in the user's cache.

`python -m tests.real_node.install` builds what is missing and prints the folder that they are in.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

__all__ = ["KUBERNETES", "PACKAGES", "PAUSE", "VERSIONS", "installed"]

VERSIONS = {"containerd": "2.3.0", "CNI plugins": "1.9.1"}
PACKAGES = ("runc", "iproute2", "util-linux", "gcc", "libc6-dev")
"""Debian packages."""
KUBERNETES = ("kube-controller-manager", "kube-scheduler", "kubelet")
"""Parts of tests.cluster.install that a node needs beside those of the session `cluster`."""
PAUSE = "localhost/pause:1"
HELP = "go on without a node: nox -s ci -- --without=node"
_CONTAINERD = f"github.com/containerd/containerd/v2/cmd/{{}}@v{VERSIONS['containerd']}"
_PLUGINS = f"github.com/containernetworking/plugins/plugins/{{}}@v{VERSIONS['CNI plugins']}"
_MODULES = {
    **{name: _CONTAINERD.format(name) for name in ("containerd", "containerd-shim-runc-v2", "ctr")},
    **{name.rsplit("/", 1)[1]: _PLUGINS.format(name) for name in ("main/bridge", "main/loopback", "ipam/host-local")},
}
_FLAGS = ("-trimpath", "-ldflags", "-s -w", "-tags", "no_btrfs no_devmapper no_zfs")
_SOURCE = Path(__file__).parent / "pause.c"


def installed() -> Path:
    """Answer the folder of the parts, building those that are missing (about 2 minutes). Raises `SystemExit`."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "ebpfconductor" / f"node-{_told()}"
    folder.mkdir(parents=True, exist_ok=True)
    missing = [name for name in _MODULES if not (folder / name).exists()]
    if missing and shutil.which("go") is None:
        raise SystemExit(f"{', '.join(missing)}: built with Go, and there is no go; {HELP}")
    for name in missing:
        print(f"building {name}", file=sys.stderr)
        _build(name, folder)
    if not (folder / "pause.tar").exists():
        _pause(folder)
    return folder


def _told() -> str:
    content = json.dumps([_MODULES, _FLAGS, platform.machine(), _SOURCE.read_text()])
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def _build(name: str, folder: Path) -> None:
    variables = {**os.environ, "CGO_ENABLED": "0", "GOBIN": str(folder)}
    command = ["go", "install", *_FLAGS, _MODULES[name]]
    if subprocess.run(command, env=variables, check=False, stdout=sys.stderr).returncode != 0:
        raise SystemExit(f"{_MODULES[name]} could not be had from the Go module registry (see above); {HELP}")


def _pause(folder: Path) -> None:
    """The image of a pod's sandbox: one static program, packed as `docker save` does."""
    with tempfile.TemporaryDirectory(dir=folder) as name:
        program = Path(name) / "pause"
        if subprocess.run(["cc", "-Os", "-static", "-s", "-o", str(program), str(_SOURCE)], check=False).returncode:
            raise SystemExit(f"{_SOURCE.name} could not be compiled (Debian packages gcc, libc6-dev); {HELP}")
        layer = _tar({"pause": program.read_bytes()})
        machine = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]
        config = {
            "architecture": machine,
            "os": "linux",
            "config": {"Entrypoint": ["/pause"], "User": "65534:65534"},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
        }
        manifest = [{"Config": "config.json", "RepoTags": [PAUSE], "Layers": ["layer.tar"]}]
        files = {"config.json": config, "manifest.json": manifest}
        made = Path(name) / "pause.tar"
        made.write_bytes(_tar({"layer.tar": layer, **{file: json.dumps(c).encode() for file, c in files.items()}}))
        made.rename(folder / "pause.tar")


def _tar(files: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o755
            tar.addfile(member, io.BytesIO(content))
    return packed.getvalue()


if __name__ == "__main__":
    print(installed())
