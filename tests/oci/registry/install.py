"""Have the tools of the images' session that no Debian package holds; prints a variable and a path for each.

`python -m tests.oci.registry.install` builds them from the Go module registry, once, into the user's cache.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

__all__ = ["PACKAGES", "TOOLS", "installed"]

PACKAGES = ("docker-registry", "skopeo")
"""Debian packages. Where systemd runs, the first also starts a service of its own on port 5000."""
TOOLS = {
    "crane": ("github.com/google/go-containerregistry/cmd/crane", "v0.22.1"),
    "oras": ("oras.land/oras/cmd/oras", "v1.3.6"),
    "cosign": ("github.com/sigstore/cosign/v3/cmd/cosign", "v3.1.3"),
}
HELP = "go on without it: nox -s ci -- --without=registry"


def installed(name: str) -> Path:
    """Answer the path of a tool, building it where it is missing (cosign: 3 minutes). Raises `SystemExit`."""
    module, version = TOOLS[name]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    root = cache / "ebpfconductor" / f"{name}-{version.removeprefix('v')}"
    binary = root / name
    if binary.exists():
        return binary
    if shutil.which("go") is None:
        raise SystemExit(f"{name} {version} is built with Go, and there is no go; {HELP}")
    print(f"building {name} {version}", file=sys.stderr)
    environment = {**os.environ, "GOBIN": str(root), "CGO_ENABLED": "0"}
    command = ["go", "install", f"{module}@{version}"]
    if subprocess.run(command, env=environment, check=False, stdout=sys.stderr).returncode != 0 or not binary.exists():
        raise SystemExit(f"{module} {version} could not be had from the Go module registry (see above); {HELP}")
    return binary


if __name__ == "__main__":
    for tool in TOOLS:
        print(f"CONDUCTOR_{tool.upper()}={installed(tool)}")
