"""A machine whose first process is a real systemd, in namespaces of its own."""

from __future__ import annotations

import os
import re
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

__all__ = ["Machine", "booted", "missing"]

ROOT = Path(__file__).parents[2]
SYSTEMD = Path("/lib/systemd/systemd")
TARGETS = ("begin", "sysinit", "basic", "shutdown", "network-online", "multi-user")
_LOG = "[Service]\nStandardOutput=append:/var/log/{0}\nStandardError=append:/var/log/{0}\n"
CODE = Path("/var/code")
"""Where the checkout lies there."""
_PYTHON = Path(sys.executable)
_INSIDE = CODE / _PYTHON.relative_to(ROOT) if _PYTHON.is_relative_to(ROOT) else _PYTHON
_SHIMS = {
    "conductor": f'PYTHONPATH={CODE} exec {_INSIDE} -m conductor "$@"',
    "sudo": 'exec "$@"',
}


@dataclass(frozen=True, slots=True)
class Machine:
    """`pid` is its first process, as we see it."""

    place: Path
    pid: int

    def run(self, *words: str, check: bool = True) -> str:
        """Run a command in it; answers what was printed."""
        path = f"PATH=/usr/local/bin:{os.environ['PATH']}"
        command = ["nsenter", "--all", "--root", "--wd", f"--target={self.pid}", "env", path, *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert not check or done.returncode == 0, f"{' '.join(words)}: {done.stdout}{done.stderr}\n{self.log}"
        return done.stdout

    def write(self, path: str, text: str) -> None:
        """Make a file in it."""
        self.run("sh", "-c", 'mkdir -p "$(dirname "$1")" && printf %s "$2" > "$1"', "sh", path, text)

    @property
    def log(self) -> str:
        command = [
            "nsenter",
            "--all",
            "--root",
            "--wd",
            f"--target={self.pid}",
            "sh",
            "-c",
            "tail -n 20 /var/log/ebpfconductor-*",
        ]
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=False).stdout

    def main(self, unit: str) -> str:
        """The main process of a unit, as the machine sees it; 0: none."""
        return self.run("systemctl", "show", "--property=MainPID", "--value", unit).strip()

    def process(self, unit: str) -> int:
        """The main process of a unit, as we see it."""
        inside = self.main(unit)
        for status in Path("/proc").glob("[0-9]*/status"):
            numbers = re.search(r"^NSpid:\s*(.*)$", _read(status), re.MULTILINE)
            if numbers and numbers[1].split()[1:] == [inside] and self._holds(status.parent):
                return int(status.parent.name)
        raise AssertionError(f"{unit} has no process\n{self.log}")

    def _holds(self, process: Path) -> bool:
        return _link(process / "ns/pid") == _link(Path(f"/proc/{self.pid}/ns/pid"))

    def wait_for(self, holds: Callable[[], bool], what: str, seconds: float = 40) -> None:
        """Wait until something holds."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if holds():
                return
            time.sleep(0.2)
        raise AssertionError(f"not {what} after {seconds:g} s\n{self.log}")


def missing() -> str:
    """What this machine lacks for another one to boot on it; empty: nothing."""
    if not SYSTEMD.exists():
        return "systemd (Debian package systemd)"
    if (tree := _cgroups()) is None or not os.access(tree, os.W_OK):
        return "a cgroup v2 tree that can be written"
    return ""


@contextmanager
def booted(place: Path) -> Iterator[Machine]:
    """Boot it; nothing is left of it afterwards."""
    if lacks := missing():
        pytest.skip(f"needs {lacks}")
    for folder in ("units", "bin"):
        (place / folder).mkdir()
    for name in TARGETS:
        (place / f"units/{name}.target").write_text("[Unit]\nDefaultDependencies=no\n")
    for name in ("loader", "agent"):  # no journal runs there
        drop_in = place / f"units/ebpfconductor-{name}.service.d/log.conf"
        drop_in.parent.mkdir()
        drop_in.write_text(_LOG.format(f"ebpfconductor-{name}.log"))
    for name, script in _SHIMS.items():
        (place / "bin" / name).write_text(f"#!/bin/sh\n{script}\n")
        (place / "bin" / name).chmod(0o755)
    tree = (_cgroups() or Path()) / f"conductor-systemd-{secrets.token_hex(3)}"
    tree.mkdir()
    script = 'echo $$ > "$1/cgroup.procs" && shift && exec "$@"'
    words = ["bash", "-c", script, "bash", str(tree), sys.executable, "-m", "tests.systemd.boot", str(place), str(ROOT)]
    with (place / "boot.log").open("wb") as log:
        first = subprocess.Popen(words, cwd=ROOT, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    try:
        yield _running(first, place)
    finally:
        first.kill()  # and with it, by --kill-child, all that runs there
        first.wait(20)
        _remove(tree)


def _running(first: subprocess.Popen[bytes], place: Path) -> Machine:
    end = time.monotonic() + 30
    while time.monotonic() < end and first.poll() is None:
        children = _read(Path(f"/proc/{first.pid}/task/{first.pid}/children")).split()
        if children and _read(Path(f"/proc/{children[0]}/comm")).strip() == "systemd":
            machine = Machine(place, int(children[0]))
            if machine.run("systemctl", "is-active", "begin.target", check=False).strip() == "active":
                return machine
        time.sleep(0.1)
    raise AssertionError(f"systemd does not boot: {(place / 'boot.log').read_text()}")


def _cgroups() -> Path | None:
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        if " - cgroup2 " in line:
            return Path(line.split()[4])
    return None


def _remove(tree: Path) -> None:
    """Take cgroups away, inner ones first; the last processes of a machine need a moment to be gone."""
    end = time.monotonic() + 20
    for folder in (*sorted(tree.rglob("*/"), reverse=True), tree):
        while folder.exists():
            try:
                folder.rmdir()
            except OSError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.1)


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def _link(path: Path) -> str:
    try:
        return str(path.readlink())
    except OSError:
        return ""
