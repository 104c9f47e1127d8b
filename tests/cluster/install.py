"""Have the parts of a real cluster: built once from the Go module registry, kept in the user's cache.

`python -m tests.cluster.install [NAME...]` builds what is missing and prints the folder they are in.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

__all__ = ["ETCD", "HELM", "PARTS", "VERSION", "found", "installed"]

VERSION = "1.36.3"
ETCD = "3.6.8"
HELM = "4.3.1"
PARTS = ("etcd", "kube-apiserver", "kubectl", "helm")
"""What `nox -s cluster` needs; kube-controller-manager, kube-scheduler and kubelet can be asked for by name."""
TOOLS = Path(__file__).parent / "tools"
HELP = "name a folder that has them by KUBEBUILDER_ASSETS, or go on without: nox -s ci -- --without=cluster"
_LINKED = " ".join(
    f"-X {package}.gitVersion=v{VERSION}"
    for package in ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
)
_FLAGS = ("-trimpath", "-ldflags", f"-s -w {_LINKED}")


def installed(*parts: str) -> Path:
    """Answer the folder of these binaries, building those that are missing (about 6 minutes). Raises `SystemExit`."""
    folder = _cache()
    folder.mkdir(parents=True, exist_ok=True)
    missing = _missing(folder, parts)
    if missing:
        _refuse_wrong_go()
    for name in missing:
        print(f"building {name}; all parts take about 6 minutes, once", file=sys.stderr)
        if subprocess.run(_command(folder, name), cwd=TOOLS, env=_environment(folder), check=False).returncode != 0:
            raise SystemExit(f"{name} could not be built from the Go module registry (see above); {HELP}")
        for old in folder.glob(f".{name}-*"):
            old.unlink()
        _stamp(folder, name).touch()
    return folder


def found(*parts: str) -> Path | None:
    """Answer the folder of these binaries if all were built before; builds nothing."""
    folder = _cache()
    return None if _missing(folder, parts) else folder


def _cache() -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "ebpfconductor" / f"kubernetes-{VERSION}" / "bin"


def _missing(folder: Path, parts: Sequence[str]) -> list[str]:
    return [name for name in parts if not _stamp(folder, name).exists() or not (folder / name).exists()]


def _stamp(folder: Path, name: str) -> Path:
    """A file that says of what content a binary was built."""
    content = b"".join((TOOLS / file).read_bytes() for file in ("go.mod", "go.sum", "etcd/main.go"))
    told = hashlib.sha256(content + f"{VERSION} {HELM} {_FLAGS} {platform.machine()}".encode()).hexdigest()[:16]
    return folder / f".{name}-{told}"


def _command(folder: Path, name: str) -> list[str]:
    if name == "helm":
        return ["go", "install", f"helm.sh/helm/v4/cmd/helm@v{HELM}"]
    if name == "etcd":
        return ["go", "build", "-trimpath", "-o", str(folder / name), "./etcd"]
    return ["go", "build", *_FLAGS, "-o", str(folder / name), f"k8s.io/kubernetes/cmd/{name}"]


def _environment(folder: Path) -> dict[str, str]:
    # With the json/v2 experiment of Go 1.27 the API server serves broken OpenAPI documents: kubectl apply fails.
    experiment = {"GOEXPERIMENT": "nojsonv2"} if _go() >= (1, 27) else {}
    return {**os.environ, "CGO_ENABLED": "0", "GOBIN": str(folder), **experiment}


def _go() -> tuple[int, ...]:
    told = subprocess.run(["go", "env", "GOVERSION"], cwd=TOOLS, capture_output=True, text=True, check=False).stdout
    return tuple(int(number) for number in re.findall(r"\d+", told)[:2])


def _refuse_wrong_go() -> None:
    if shutil.which("go") is None:
        raise SystemExit(f"Kubernetes {VERSION} is built with Go 1.26 or later, and there is no go; {HELP}")
    if _go() < (1, 26):
        raise SystemExit(f"Kubernetes {VERSION} is built with Go 1.26 or later, and `go` is {_go()}; {HELP}")


if __name__ == "__main__":
    print(installed(*(sys.argv[1:] or PARTS)))
