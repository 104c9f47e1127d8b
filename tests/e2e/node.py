"""A whole node: `conductor up` with loader and agent on the real kernel, in directories of its own."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from prometheus_client.parser import text_string_to_metric_families

from conductor.client import Agent
from conductor.errors import ConductorError
from conductor.model.status import State

__all__ = ["Node", "Series", "bpftool", "free_port", "launched", "links_of", "pins_of", "programs_of", "told"]

T = TypeVar("T")
Series = dict[tuple[str, tuple[tuple[str, str], ...]], float]
CONDUCTOR = (sys.executable, "-m", "conductor")
LOADER_FLAGS = ("--loader-socket", "--bpffs", "--state-dir", "--cache-dir")
START_SECONDS = 60.0
"""Until a node is ready: a second on a quiet machine, but this one has two cores and other work."""


@dataclass
class Node:
    """One node under test; every process that it starts is ended with it."""

    root: Path
    port: int
    up: subprocess.Popen[bytes] | None = field(default=None, repr=False)
    apart: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict, repr=False)
    """Loader and agent that no keeper keeps."""

    @property
    def log(self) -> str:
        return (self.root / "log").read_text(errors="replace")

    @property
    def socket(self) -> Path:
        return self.root / "run/agent.sock"

    def paths(self) -> dict[str, str]:
        places = {
            "--agent-socket": self.socket,
            "--loader-socket": self.root / "run/loader.sock",
            "--bpfman-socket": self.root / "none/bpfman.sock",
            "--bpffs": self.root / "run/bpf",
            "--state-dir": self.root / "state",
            "--cache-dir": self.root / "cache",
        }
        return {flag: str(place) for flag, place in places.items()}

    def flags(self) -> list[str]:
        return [*_flat(self.paths()), "--http-address", f"127.0.0.1:{self.port}"]

    # --- processes ---

    def start(self, *options: str) -> None:
        self.up = self._popen("up", *self.flags(), *options)
        self.wait_ready()

    def start_agent(self, *options: str) -> None:
        """An agent that nobody starts again."""
        flags = [flag for flag in self.flags() if flag not in (self.paths()["--bpffs"], "--bpffs")]
        self.apart["agent"] = self._popen("agent", "--own-view", *flags, *options)
        self.wait_ready()

    def start_loader(self, *options: str, before: Sequence[str] = ()) -> None:
        """A loader that nobody starts again; `before` stands before its command."""
        flags = _flat({flag: place for flag, place in self.paths().items() if flag in LOADER_FLAGS})
        self.apart["loader"] = self._popen("loader", *flags, *options, before=before)
        self.wait_for((self.root / "run/loader.sock").exists, "serving loader", START_SECONDS)

    def stop(self) -> int:
        assert self.up is not None
        self.up.send_signal(signal.SIGTERM)
        try:
            return self.up.wait(40)
        finally:
            self.up = None

    def kill(self, role: str) -> None:
        os.kill(self.pid(role), signal.SIGKILL)

    def pid(self, role: str) -> int:
        """Pid of the running agent or loader, by what its command line names."""
        socket_of = {"agent": self.paths()["--agent-socket"], "loader": self.paths()["--loader-socket"]}
        for entry in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = entry.read_bytes().decode(errors="replace").split("\0")
            except OSError:
                continue
            if {"conductor", role, socket_of[role]} <= set(words):
                return int(entry.parent.name)
        raise KeyError(role)

    def close(self) -> None:
        """End everything, in order where it lets itself be ended."""
        if self.up is not None:
            with suppress(subprocess.TimeoutExpired):
                self.stop()
        for role in ("agent", "loader"):
            with suppress(KeyError):
                self.kill(role)
        for process in self.apart.values():
            process.wait(10)
        subprocess.run(["umount", "-ql", str(self.root / "run/bpf")], check=False)

    def _popen(self, *words: str, before: Sequence[str] = ()) -> subprocess.Popen[bytes]:
        command = [*before, *CONDUCTOR, *words]
        with (self.root / "log").open("ab") as log:
            return subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd="/")

    # --- asking ---

    def run(self, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run a command as it stands."""
        return subprocess.run(
            [*CONDUCTOR, *words], capture_output=True, text=True, timeout=60, check=False, input=stdin, cwd="/"
        )

    def cli(self, *words: str, ok: bool = True, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run a command that asks this node's agent."""
        done = self.run(*words, "--agent-socket", str(self.socket), stdin=stdin)
        if ok:
            assert done.returncode == 0, f"{words}: {done.stderr}\n{self.log[-4000:]}"
        return done

    def json(self, *words: str, stdin: str = "") -> Any:
        return json.loads(self.cli(*words, "-o", "json", stdin=stdin).stdout)

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

    def ask(self, question: Callable[[Agent], Awaitable[T]]) -> T:
        """Ask through the client, which is quicker than a process."""

        async def asked() -> T:
            async with asyncio.timeout(60), Agent.connect(self.socket) as agent:
                return await question(agent)

        return asyncio.run(asked())

    def is_empty(self) -> bool:
        """Whether nothing is loaded and no kernel program is left of what was."""
        return not self.ask(lambda agent: agent.list()) and not self.ask(lambda agent: agent.list_kernel())

    def running(self, name: str) -> bool:
        return self.ask(lambda agent: agent.get(name)).state is State.RUNNING

    # --- waiting ---

    def wait_ready(self) -> None:
        self.wait_for(lambda: self.get("/readyz"), "ready", START_SECONDS)

    def wait_for(self, what: Callable[[], Any], name: str, seconds: float = 30) -> Any:
        """Ask until the answer is true; errors count as not yet."""
        until, last = time.monotonic() + seconds, None
        while time.monotonic() < until:
            try:
                if answer := what():
                    return answer
            except (OSError, AssertionError, KeyError, ValueError, ConductorError) as exc:
                last = exc
            time.sleep(0.05)
        raise AssertionError(f"not {name} within {seconds:g} s: {last}\n{self.log[-6000:]}")


@contextmanager
def launched() -> Iterator[Node]:
    """Directories and a port for one node; whatever it left is removed."""
    root = Path(tempfile.mkdtemp(prefix="conductor-test.", dir="/run"))
    root.chmod(0o755)
    node = Node(root, free_port())
    try:
        yield node
    finally:
        node.close()
        subprocess.run(["rm", "-rf", "--one-file-system", str(root)], check=True)


def free_port() -> int:
    """A port that nobody has, and that the kernel gives to no client: it is not taken until the node does."""
    while True:
        port = 10_240 + secrets.randbelow(20_000)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


def told(series: Series, name: str, **labels: str) -> float:
    """Sum of all samples of a name that have these labels."""
    wanted = set(labels.items())
    return sum(value for (have, pairs), value in series.items() if have == name and wanted <= set(pairs))


def programs_of(node: Node) -> list[dict[str, Any]]:
    """The BPF programs that our pins hold, as bpftool sees them."""
    pinned = {path.name for path in (node.root / "run/bpf/programs").glob("*")}
    return [program for program in bpftool("prog") if str(program["id"]) in pinned]


def links_of(node: Node) -> list[dict[str, Any]]:
    """The BPF links to those programs, as bpftool sees them."""
    ids = {program["id"] for program in programs_of(node)}
    return [link for link in bpftool("link") if link.get("prog_id") in ids]


def pins_of(node: Node) -> list[Path]:
    """Every pin in our bpffs; what the kernel itself puts there aside."""
    return [path for path in (node.root / "run/bpf").rglob("*") if path.is_file() and path.suffix != ".debug"]


def bpftool(kind: str) -> list[dict[str, Any]]:
    """List what the kernel holds; something that vanishes while bpftool looks makes it fail, so ask again."""
    for _ in range(5):
        done = subprocess.run(["bpftool", "-j", kind, "show"], capture_output=True, check=False)
        if done.returncode == 0:
            break
    shown: list[dict[str, Any]] = json.loads(done.stdout)
    return shown


def _flat(pairs: dict[str, str]) -> list[str]:
    return [word for pair in pairs.items() for word in pair]
