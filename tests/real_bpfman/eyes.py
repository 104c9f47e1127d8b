"""What bpftool sees of the kernel, cut down to the programs whose names carry one test's mark."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

__all__ = ["Eyes", "bpftool", "eventually"]


@dataclass(frozen=True)
class Eyes:
    """Look for names that end in `mark`."""

    mark: str

    def programs(self) -> dict[int, str]:
        """Names of the marked programs by kernel id."""
        return {p["id"]: p["name"] for p in bpftool("prog") if str(p.get("name", "")).endswith(f"_{self.mark}")}

    def links(self) -> list[int]:
        """Program ids of every link of a marked program, one for each link, sorted."""
        mine = self.programs()
        return sorted(link["prog_id"] for link in bpftool("link") if link.get("prog_id") in mine)

    def link_ids(self) -> set[int]:
        """The kernel's own ids of the links of marked programs: one that is made anew has another."""
        mine = self.programs()
        return {link["id"] for link in bpftool("link") if link.get("prog_id") in mine}


def bpftool(what: str) -> list[dict[str, Any]]:
    """Ask bpftool; what goes away while it looks makes it fail, so it is asked again."""
    for _ in range(20):
        done = subprocess.run(["bpftool", "-j", what, "show"], capture_output=True, text=True, check=False)
        if done.returncode == 0:
            found: list[dict[str, Any]] = json.loads(done.stdout or "[]")
            return found
        time.sleep(0.05)
    raise AssertionError(done.stderr)


def eventually(what: Callable[[], Any], expected: Any, seconds: float = 5.0) -> None:
    """Ask until the answer is as expected: the kernel frees what was unloaded a little later."""
    until = time.monotonic() + seconds
    while (seen := what()) != expected:
        assert time.monotonic() < until, f"{seen} is not {expected}"
        time.sleep(0.05)
