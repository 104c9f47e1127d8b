"""Build our image from the Containerfile, with no registry of images: once per content, kept in the user's cache.

`python -m tests.image.install` prints the folder: `image.tar` (a docker archive of NAME) and `rootfs`. The base
image is made of Debian's own packages and given the base's name. Needs root, mmdebstrap and buildah.
"""

from __future__ import annotations

import configparser
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

__all__ = ["NAME", "PACKAGES", "installed"]

PACKAGES = ("mmdebstrap", "buildah", "debian-archive-keyring")
NAME = "localhost/ebpfconductor:test"
ROOT = Path(__file__).parents[2]
SENT = ("Containerfile", ".containerignore", "pyproject.toml", "requirements.lock", "README.md", "LICENSE")
TREES = ("conductor", "sdk")
LEFT_OUT = frozenset({"__pycache__", ".mypy_cache", "node_modules", "target"})
CERTIFICATES, PIP = Path("/etc/ssl/certs/ca-certificates.crt"), Path("/etc/pip.conf")
_LEAN = [f"--dpkgopt=path-exclude=/usr/share/{part}/*" for part in ("doc", "man", "locale", "info")]
_EPOCH = "1700000000"
_TRUSTED = "/etc/pip.crt"


def installed() -> Path:
    """Answer the folder of the image of this tree, building it where it is missing (about 4 minutes)."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ebpfconductor" / "image"
    cache.mkdir(parents=True, exist_ok=True)
    base = _base(cache)
    folder = cache / _digest(base)
    if not folder.exists():
        for old in cache.glob("????????????????"):
            shutil.rmtree(old)
        with tempfile.TemporaryDirectory(prefix="image-", dir=cache) as place:
            _build(base, Path(place))
            (Path(place) / "out").rename(folder)
    return folder


def _base(cache: Path) -> Path:
    """What Debian's own slim image is made of: essential packages of trixie without documents."""
    base = cache / "debian-trixie-slim.tar"
    if not base.exists():
        print("making the base image of Debian's packages, once", file=sys.stderr)
        part = base.with_suffix(".part.tar")
        _run("mmdebstrap", "--variant=minbase", *_LEAN, "trixie", str(part), "http://deb.debian.org/debian")
        part.rename(base)
    return base


def _files() -> Iterator[Path]:
    yield from (ROOT / name for name in SENT)
    for tree in TREES:
        yield from sorted(
            path for path in (ROOT / tree).rglob("*") if path.is_file() and not LEFT_OUT & set(path.parts)
        )


def _digest(base: Path) -> str:
    content = hashlib.sha256(f"{base.stat().st_mtime_ns}".encode())
    for path in _files():
        content.update(f"{path.relative_to(ROOT)}\0".encode() + hashlib.sha256(path.read_bytes()).digest())
    return content.hexdigest()[:16]


def _build(base: Path, place: Path) -> None:
    """Send a copy of the tree, so that what changes meanwhile is not half in it."""
    context, out = place / "context", place / "out"
    for path in _files():
        (context / path.relative_to(ROOT)).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, context / path.relative_to(ROOT))
    out.mkdir()
    print("building the image (about 3 minutes)", file=sys.stderr)
    (named,) = re.findall(r"^ARG BASE=(.*)$", (ROOT / "Containerfile").read_text(), re.MULTILINE)
    container = _buildah(place, "from", "scratch")
    _buildah(place, "add", "-q", container, str(base), "/")
    _buildah(place, "commit", "-q", "--rm", container, named)
    _buildah(place, "bud", "-q", "--pull=never", f"--timestamp={_EPOCH}", *_registry(place), "-t", NAME, str(context))
    _buildah(place, "push", "-q", NAME, f"docker-archive:{out / 'image.tar'}:{NAME}")
    container = _buildah(place, "from", "--pull=never", NAME)
    mounted = _buildah(place, "mount", container)
    _run("cp", "-a", "--no-target-directory", mounted, str(out / "rootfs"))


def _registry(place: Path) -> list[str]:
    """Have pip reach this machine's registry as it does here. Its certificates lie where no package puts any."""
    settings = configparser.ConfigParser(interpolation=None)
    settings.read(PIP)
    mounts = []
    if CERTIFICATES.exists():
        settings.read_dict({"global": {"cert": _TRUSTED}})
        mounts.append(f"--volume={CERTIFICATES}:{_TRUSTED}:ro")
    with (place / "pip.conf").open("w") as file:
        settings.write(file)
    return [*mounts, f"--volume={place / 'pip.conf'}:{PIP}:ro"]


def _buildah(place: Path, *words: str) -> str:
    where = (f"--root={place / 'store'}", f"--runroot={place / 'run'}", "--storage-driver=vfs")
    variables = {**os.environ, "BUILDAH_ISOLATION": "chroot", "TMPDIR": str(place)}
    return "".join(_run("buildah", *where, *words, variables=variables).splitlines()[-1:])


def _run(*command: str, variables: dict[str, str] | None = None) -> str:
    done = subprocess.run(command, env=variables, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command[:6])} … ended with {done.returncode}, see above")
    return done.stdout


if __name__ == "__main__":
    print(installed())
