"""A whole node: `conductor up` with loader and agent on the real kernel, in directories of its own."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

Series = dict[tuple[str, tuple[tuple[str, str], ...]], float]


@dataclass
class Node:
    """One node under test; every process that it starts is ended with it."""

    root: Path
    port: int
    options: tuple[str, ...] = ()
    up: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def log(self) -> str:
        return (self.root / "log").read_text(errors="replace")

    def flags(self) -> list[str]:
        paths = {
            "--agent-socket": self.root / "run/agent.sock",
            "--loader-socket": self.root / "run/loader.sock",
            "--bpfman-socket": self.root / "none/bpfman.sock",
            "--bpffs": self.root / "run/bpf",
            "--state-dir": self.root / "state",
            "--cache-dir": self.root / "cache",
            "--http-address": f"127.0.0.1:{self.port}",
        }
        return [str(part) for pair in paths.items() for part in pair]

    def start(self, *options: str) -> None:
        with (self.root / "log").open("ab") as log:
            command = [sys.executable, "-m", "conductor", "up", *self.flags(), *self.options, *options]
            self.up = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd="/")
        self.wait_ready()

    def stop(self) -> int:
        assert self.up is not None
        self.up.send_signal(signal.SIGTERM)
        try:
            return self.up.wait(30)
        finally:
            self.up = None

    def cli(self, *words: str, ok: bool = True, stdin: str = "") -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "conductor", *words, "--agent-socket", str(self.root / "run/agent.sock")]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, input=stdin, cwd="/")
        if ok:
            assert done.returncode == 0, f"{words}: {done.stderr}\n{self.log[-4000:]}"
        return done

    def json(self, *words: str) -> Any:
        return json.loads(self.cli(*words, "-o", "json").stdout)

    def get(self, path: str) -> str:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as answer:
                return str(answer.read().decode())
        except urllib.error.HTTPError as refusal:
            with refusal:
                raise OSError(f"{path}: {refusal.code} {refusal.read().decode()}") from None

    def series(self, query: str = "") -> Series:
        found: Series = {}
        for family in text_string_to_metric_families(self.get(f"/metrics{query}")):
            for sample in family.samples:
                found[sample.name, tuple(sorted(sample.labels.items()))] = sample.value
        return found

    def wait_ready(self) -> None:
        self.wait_for(lambda: self.get("/readyz"), "ready")

    def wait_for(self, what: Callable[[], Any], name: str, seconds: float = 30) -> Any:
        """Ask until the answer is true; errors count as not yet."""
        until, last = time.monotonic() + seconds, None
        while time.monotonic() < until:
            try:
                if answer := what():
                    return answer
            except (OSError, AssertionError, KeyError, ValueError) as exc:
                last = exc
            time.sleep(0.1)
        raise AssertionError(f"not {name} within {seconds:g} s: {last}\n{self.log[-6000:]}")

    def pid(self, role: str) -> int:
        """Pid of the running agent or loader, by what its command line names."""
        for status in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = status.read_bytes().decode(errors="replace").split("\0")
            except OSError:
                continue
            if "conductor" in words and role in words and str(self.root / "run/agent.sock") in words:
                return int(status.parent.name)
            if (
                role == "loader"
                and "conductor" in words
                and str(self.root / "run/loader.sock") in words
                and role in words
            ):
                return int(status.parent.name)
        raise KeyError(role)

    def kill(self, role: str) -> None:
        os.kill(self.pid(role), signal.SIGKILL)

    def running(self, name: str) -> bool:
        return bool(self.json("get", name)["state"] == "Running")


@pytest.fixture
def node() -> Iterator[Node]:
    root = Path(tempfile.mkdtemp(prefix="conductor-test.", dir="/run"))
    root.chmod(0o755)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = int(server.getsockname()[1])
    node = Node(root, port)
    try:
        yield node
    finally:
        if node.up is not None:
            node.stop()
        for role in ("agent", "loader"):
            try:
                node.kill(role)
            except KeyError:
                continue
        subprocess.run(["umount", "-ql", str(root / "run/bpf")], check=False)
        subprocess.run(["rm", "-rf", str(root)], check=True)


def programs_of(node: Node) -> list[dict[str, Any]]:
    """The BPF programs that our pins hold, as bpftool sees them."""
    pinned = {path.name for path in (node.root / "run/bpf/programs").glob("*")}
    shown = json.loads(subprocess.run(["bpftool", "-j", "prog", "show"], capture_output=True, check=True).stdout)
    return [program for program in shown if str(program["id"]) in pinned]


def links_of(node: Node) -> list[dict[str, Any]]:
    """The BPF links to those programs, as bpftool sees them."""
    ids = {program["id"] for program in programs_of(node)}
    shown = json.loads(subprocess.run(["bpftool", "-j", "link", "show"], capture_output=True, check=True).stdout)
    return [link for link in shown if link.get("prog_id") in ids]


def pins_of(node: Node) -> list[Path]:
    """Every pin in our bpffs; what the kernel itself puts there aside."""
    return [path for path in (node.root / "run/bpf").rglob("*") if path.is_file() and path.suffix != ".debug"]
