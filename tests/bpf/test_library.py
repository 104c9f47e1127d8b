"""A machine without libbpf, shown in a mount namespace in which the library is an empty file."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from conductor.bpf import pins
from conductor.bpf.library import libbpf, libbpf_version
from conductor.bpf.objects import BpfObject

ROOT = Path(__file__).parents[2]


def without_libbpf(script: str) -> str:
    """Run Python where libbpf.so.1 cannot be opened; answers its output."""
    libbpf()
    maps = Path("/proc/self/maps").read_text()
    library = next(line.split()[-1] for line in maps.splitlines() if "libbpf.so" in line)
    command = f'mount --bind /dev/null {library} && exec {sys.executable} -c "$SCRIPT"'
    done = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "sh", "-c", command],
        env=os.environ | {"SCRIPT": script, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_version_is_told() -> None:
    major, minor = libbpf_version()
    assert major == 1
    assert minor >= 0


@pytest.mark.kernel
def test_a_missing_library_names_the_package() -> None:
    said = without_libbpf(
        "from conductor.bpf.objects import BpfObject\n"
        "from conductor.errors import LibraryMissing\n"
        "from conductor.bpf.features import Feature, probe\n"
        "from conductor.bpf.library import libbpf\n"
        "try: libbpf()\n"
        "except LibraryMissing as error: print(error)\n"
        "print(probe(Feature.LIBBPF).answer.value, probe(Feature.XDP).answer.value)\n"
    )
    assert "install the Debian and Ubuntu package libbpf1" in said
    assert said.splitlines()[-1] == "no yes"


@pytest.mark.kernel
def test_reading_maps_needs_no_library(loaded: Callable[..., BpfObject], bpffs: Path) -> None:
    pins.pin(loaded("counters").map_fd("by_pid"), bpffs / "by_pid")
    said = without_libbpf(
        "from pathlib import Path\n"
        "from conductor.bpf.maps import open_map\n"
        "from conductor.model.grants import Access\n"
        f"with open_map(Path('{bpffs}/by_pid'), Access.READ) as handle: print(handle.entries().count)\n"
    )
    assert said.strip() == "0"
