"""What is in the image, and what is not."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.image.pod import image_config

pytestmark = pytest.mark.image
PACKAGES = "opt/conductor/lib/python3.13/site-packages"
ROOT = Path(__file__).parents[2]
MODULES = """
import importlib, pkgutil, sys, conductor
failed = {}
for found in pkgutil.walk_packages(conductor.__path__, "conductor."):
    if found.name.startswith("conductor.sdk") or found.name == "conductor.__main__":
        continue
    try:
        importlib.import_module(found.name)
    except Exception as error:
        failed[found.name] = repr(error)
sys.exit(repr(failed) if failed else 0)
"""


def inside(image: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = ["chroot", "--userspec=65532:65532", str(image / "rootfs"), "/usr/bin/env", "-i", "HOME=/tmp", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_it_starts_our_command_as_nobody_of_note(image: Path) -> None:
    config = image_config(image)
    assert (config["User"], config["Entrypoint"]) == ("65532:65532", ["conductor"])


def test_it_says_its_version(image: Path) -> None:
    done = inside(image, "/opt/conductor/bin/conductor", "version", "--client")
    assert re.fullmatch(r"conductor \S+ \(Python 3\.13\.\d+\)\n", done.stdout), done.stderr


@pytest.mark.slow
@pytest.mark.timeout(150)
def test_every_module_of_ours_can_be_imported(image: Path) -> None:
    done = inside(image, "/opt/conductor/bin/python", "-c", MODULES)
    assert done.returncode == 0, done.stderr


def test_code_is_compiled_and_its_source_left_out(image: Path) -> None:
    packages = image / "rootfs" / PACKAGES
    assert (packages / "conductor/agent.pyc").exists()
    assert [path for path in packages.rglob("*.py") if "sdk" not in path.parts] == []


def test_nothing_that_builds_is_there(image: Path) -> None:
    root = image / "rootfs"
    tools = [*(f"usr/bin/{name}" for name in ("pip", "pip3", "gcc", "cc", "make", "git", "curl")), "opt/build", "src"]
    assert [name for name in tools if (root / name).exists()] == []
    assert not list((root / PACKAGES).glob("pip*")) + list((root / PACKAGES).glob("hatchling*"))
    assert [path for path in (root / "var/log").rglob("*") if path.is_file()] == []
    assert list((root / "var/lib/apt/lists").glob("*_Packages*")) == []


def test_what_our_package_carries_is_there(image: Path) -> None:
    package = image / "rootfs" / PACKAGES / "conductor"
    ours = {path.name for path in (ROOT / "conductor/builtin").glob("*.bpf.o")}
    assert ours == {path.name for path in (package / "builtin").glob("*.bpf.o")}
    assert (package / "sdk/c/conductor.h").read_bytes() == (ROOT / "sdk/c/conductor.h").read_bytes()


def test_libbpf_knows_the_newer_links(image: Path) -> None:
    (library,) = (image / "rootfs/usr/lib").glob("*-linux-gnu/libbpf.so.1.*")
    assert tuple(map(int, library.name.split(".")[2:4])) >= (1, 3)
    assert b"bpf_program__attach_tcx" in library.read_bytes()


def test_it_belongs_to_root_and_gives_no_rights(image: Path) -> None:
    code = image / "rootfs/opt/conductor"
    assert {path.lstat().st_uid for path in code.rglob("*")} == {0}
    assert [path for path in code.rglob("*") if not path.is_symlink() and path.stat().st_mode & 0o6022] == []


def test_the_lock_file_is_what_is_installed(image: Path) -> None:
    locked = dict(re.findall(r"^([\w.-]+)==(\S+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE))
    found = [
        path.name.removesuffix(".dist-info").rsplit("-", 1) for path in (image / "rootfs" / PACKAGES).glob("*-info")
    ]
    assert len(found) > 20
    for name, version in found:
        plain = name.lower().replace("_", "-")
        if plain not in {"ebpfconductor", "numpy"}:  # of numpy the lock has one for each Python
            assert locked[plain] == version


def test_the_containerfile_names_no_machine() -> None:
    text = (ROOT / "Containerfile").read_text()
    code = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    assert not re.search(r"amd64|arm64|x86|aarch64", code)
