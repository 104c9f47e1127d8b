"""Have bpfman's released daemon: built once from the Rust registry, kept in the user's cache; prints its path.

`python -m tests.real_bpfman.install`
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

__all__ = ["PACKAGES", "VERSION", "found", "installed"]

VERSION = "0.6.0"
PACKAGES = ("clang", "pkg-config", "libssl-dev", "protobuf-compiler", "libelf-dev", "zlib1g-dev")
"""Debian packages that the build needs."""
HELP = "go on without it: nox -s ci -- --without=bpfman"


def installed() -> Path:
    """Answer the path of bpfman-rpc, building it where it is missing (6 to 10 minutes). Raises `SystemExit`."""
    root = _root()
    binary = root / "bin/bpfman-rpc"
    if binary.exists():
        return binary
    if shutil.which("cargo") is None:
        raise SystemExit(f"bpfman {VERSION} is built with Rust, and there is no cargo (rustup has it); {HELP}")
    print(f"building bpfman {VERSION}; this takes 6 to 10 minutes, once", file=sys.stderr)
    includes = [f"/usr/include/{triple}" for triple in ("x86_64-linux-gnu", "aarch64-linux-gnu")]
    environment = {**os.environ, "C_INCLUDE_PATH": ":".join(filter(os.path.isdir, includes))}
    command = ["cargo", "install", f"bpfman-api@{VERSION}", "--locked", "--quiet", "--root", str(root)]
    if subprocess.run(command, env=environment, check=False, stdout=sys.stderr).returncode != 0 or not binary.exists():
        raise SystemExit(
            f"bpfman-api {VERSION} could not be had from the Rust registry (the lines above say why); {HELP}"
        )
    return binary


def found() -> Path | None:
    """Answer its path if it was built before; builds nothing."""
    binary = _root() / "bin/bpfman-rpc"
    return binary if binary.exists() else None


def _root() -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "ebpfconductor" / f"bpfman-{VERSION}"


if __name__ == "__main__":
    print(installed())
