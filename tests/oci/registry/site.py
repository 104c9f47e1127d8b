"""A node whose programs come from a registry that wants to know who asks: real processes, real kernel, real images."""

from __future__ import annotations

import json
import os
import subprocess
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.e2e.node import CONDUCTOR, Node, told
from tests.oci.registry.houses import House

__all__ = ["MANIFEST", "METRIC", "Halves", "Site", "built", "manifest", "tool"]

METRIC = "syscall_counter_calls_total"
MANIFEST = """\
apiVersion: ebpfconductor.io/v1alpha1
kind: KernelProgram
metadata: {name: syscalls}
spec:
  bytecode: {image: {url: "%s", pullPolicy: %s}}
  programs: [{name: on_enter, type: TracePoint, tracepoint: {links: [{name: raw_syscalls/sys_enter}]}}]
---
apiVersion: ebpfconductor.io/v1alpha1
kind: UserProgram
metadata: {name: counter}
spec:
  source: {wasm: {image: {url: "%s", pullPolicy: %s}}}
  maps: [{name: counts, kernelProgram: syscalls, map: counts, access: Read}]
  config: {interval: %s}
"""


@dataclass(frozen=True)
class Halves:
    """What is pushed: a compiled object, and a module that reads its map."""

    object: Path
    module: Path

    def version(self, folder: Path, word: str) -> Path:
        """Another build of the module: the same program with a custom section more."""
        name = word.encode()
        path = folder / f"counter-{word}.wasm"
        path.write_bytes(self.module.read_bytes() + bytes([0, len(name) + 1, len(name)]) + name)
        return path


def built(folder: Path) -> Halves:
    """Build the example of the C SDK, both halves of it."""
    for words in (("new", str(folder), "--lang", "c", "--example", "syscall_counter"), ("build", str(folder))):
        subprocess.run([*CONDUCTOR, "wasm", *words], check=True, capture_output=True, timeout=120)
    return Halves(next(folder.glob("*.bpf.o")), next(folder.glob("*.wasm")))


@dataclass
class Site:
    """The node, its registry, and the settings of both."""

    node: Node
    house: House
    halves: Halves
    registry: ExitStack = field(repr=False)
    """Closed, the registry is away."""

    def __post_init__(self) -> None:
        self.etc.mkdir()
        auth = self.house.logged_in(self.etc)
        auth.chmod(0o644)
        text = f'auth = "{auth}"\n{self.house.text}'
        if self.house.authority is not None:  # where the agent's user can read it
            ca = self.etc / "ca.pem"
            ca.write_bytes(self.house.authority.ca.read_bytes())
            text = text.replace(str(self.house.authority.ca), str(ca))
        self.registries.write_text(text)

    @property
    def etc(self) -> Path:
        return self.node.root / "etc"

    @property
    def registries(self) -> Path:
        return self.etc / "registries.toml"

    def start(self, *options: str) -> None:
        self.node.start("--kernel", "embedded", "--registries", str(self.registries), *options)

    def ref(self, name: str) -> str:
        return f"{self.house.address}/{name}"

    def push(self, name: str, file: Path | None = None) -> str:
        """Build and push by our own commands; answers the digest."""
        path = file or self.halves.module
        kind = "bytecode" if path.suffix == ".o" else "wasm"
        self.run("image", "build", kind, str(path), self.ref(name))
        said = self.run("image", "push", self.ref(name), "--registries", str(self.registries), "-o", "json")
        return str(json.loads(said)["digest"])

    def push_halves(self, tag: str = "v1") -> tuple[str, str]:
        """Push both halves; answers their digests."""
        return self.push(f"tools/syscalls:{tag}", self.halves.object), self.push(f"tools/counter:{tag}")

    def run(self, *words: str, code: int = 0, **more: str) -> str:
        """Run a command that asks no agent; answers what it printed, and where it fails what it complained of."""
        done = subprocess.run(
            self.command(*words), capture_output=True, text=True, check=False, timeout=60, env=self.environment(**more)
        )
        assert done.returncode == code, f"{words}: {done.stdout}{done.stderr}"
        return done.stdout if code == 0 else done.stderr

    def command(self, *words: str) -> list[str]:
        return [*CONDUCTOR, *words]

    def environment(self, **more: str) -> dict[str, str]:
        return {**os.environ, "XDG_CACHE_HOME": str(self.etc / "cache"), **more}

    def apply(self, text: str) -> None:
        self.node.cli("apply", "-f", "-", stdin=text)

    def counter(self, name: str = "counter") -> dict[str, Any]:
        found: dict[str, Any] = self.node.json("get", name)
        return found

    def calls(self) -> float:
        """System calls as the page has them: data of this kernel, through both halves."""
        return told(self.node.series("?program=counter"), METRIC, program="counter")

    def wait_for_calls(self, more_than: float = 0.0) -> float:
        self.node.wait_for(lambda: self.calls() > more_than, f"more than {more_than:g} calls told", 60)
        return self.calls()

    def images(self) -> dict[str, dict[str, Any]]:
        """What the node holds, by digest."""
        return {one["digest"]: one for one in self.node.json("image", "list")["items"]}


def manifest(site: Site, *, tag: str = "v1", policy: str = "IfNotPresent", interval: str = "0.2") -> str:
    """Both halves by image."""
    urls = site.ref(f"tools/syscalls:{tag}"), site.ref(f"tools/counter:{tag}")
    return MANIFEST % (urls[0], policy, urls[1], policy, interval)


def tool(name: str, *words: str, **more: str) -> str:
    """Run a tool of somebody else's."""
    command = [os.environ.get(f"CONDUCTOR_{name.upper()}", name), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, env={**os.environ, **more})
    assert done.returncode == 0, done.stderr
    return done.stdout
