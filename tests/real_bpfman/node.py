"""A whole agent before a real daemon: `conductor up --kernel bpfman` in the daemon's place, and the assistant."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from typing_extensions import override

from tests.e2e.node import Node, launched
from tests.real_bpfman.daemons import RealDaemon
from tests.real_bpfman.eyes import bpftool

__all__ = ["RealNode", "beside"]


@dataclass
class RealNode(Node):
    """As the end-to-end tests' node, but its processes run where the daemon's pins can be seen."""

    daemon: RealDaemon | None = None

    @override
    def paths(self) -> dict[str, str]:
        assert self.daemon is not None
        return {**super().paths(), "--bpfman-socket": str(self.daemon.socket)}

    @override
    def _popen(self, *words: str, before: Sequence[str] = ()) -> subprocess.Popen[bytes]:
        assert self.daemon is not None
        return super()._popen(*words, before=self.daemon.place.inside("env", "-C", "/", *before))

    def begin(self, *options: str) -> None:
        """Start the agent on the road to the real daemon."""
        self.start("--kernel", "bpfman", *options)

    def assist(self) -> None:
        """Start `conductor loader --assist`, which nobody starts again."""
        own = ("--loader-socket", "--bpfman-socket", "--state-dir", "--cache-dir")
        flags = [word for flag, place in self.paths().items() if flag in own for word in (flag, place)]
        self.apart["loader"] = self._popen("loader", "--assist", *flags)
        self.wait_for((self.root / "run/loader.sock").exists, "assisting")

    def kernel(self) -> list[dict[str, Any]]:
        """Kernel programs as the agent tells them."""
        items: list[dict[str, Any]] = self.json("kernel", "list")["items"]
        return items

    def functions(self) -> list[dict[str, Any]]:
        """All their functions."""
        return [function for program in self.kernel() for function in program["functions"]]

    def agrees(self) -> bool:
        """Whether the kernel holds each function and each of its links once, as bpftool sees it."""
        functions = self.functions()
        ids = sorted(function["id"] for function in functions)
        held = sorted(program["id"] for program in bpftool("prog") if program["id"] in ids)
        links = sorted(link["prog_id"] for link in bpftool("link") if link.get("prog_id") in ids)
        return ids == held and links == sorted(f["id"] for f in functions for _ in f["links"])


@contextmanager
def beside(daemon: RealDaemon) -> Iterator[RealNode]:
    """A node beside this daemon; ends with all that it started."""
    with launched() as plain:
        node = RealNode(plain.root, plain.port, daemon=daemon)
        try:
            yield node
        finally:
            node.close()
