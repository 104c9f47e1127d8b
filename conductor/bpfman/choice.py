"""Which road is taken: fixed by the user, else found once and kept until the next boot."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

__all__ = ["Candidate", "Mode", "RoadFile", "candidates"]

log = logging.getLogger(__name__)

Mode = Literal["auto", "bpfman", "embedded", "none"]
BPFMAN_PATIENCE = 10.0
"""Seconds for which a bpfman whose socket exists is waited for before the loader is asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A socket that may lead to the kernel. `patience`: how long to wait for it before the next one is tried."""

    road: str
    socket: Path
    patience: float = 0.0


def candidates(mode: Mode, *, bpfman: Path, loader: Path, recorded: str | None) -> tuple[Candidate, ...]:
    """Sockets to try, in order. What was found before in this boot (`recorded`) binds `auto` alone."""
    roads = {
        "bpfman": Candidate(road="bpfman", socket=bpfman),
        "embedded": Candidate(road="embedded", socket=loader),
    }
    match mode:
        case "none":
            return ()
        case "bpfman" | "embedded":
            return (roads[mode],)
        case "auto":
            if recorded in roads:
                return (roads[recorded],)
            return (Candidate(road="bpfman", socket=bpfman, patience=BPFMAN_PATIENCE), roads["embedded"])


@dataclass(frozen=True, slots=True, kw_only=True)
class RoadFile:
    """The road that was found, with the boot in which it was; unreadable or of another boot is as none."""

    path: Path
    boot_id: str

    def load(self) -> str | None:
        """Answer the road recorded in this boot."""
        try:
            kept = json.loads(self.path.read_text())
            return str(kept["road"]) if kept["boot_id"] == self.boot_id else None
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            log.warning("%s is unreadable and left aside: %s", self.path, error)
            return None

    def store(self, road: str) -> None:
        """Record the road; a disk that refuses costs no more than another look at the next start."""
        fresh = self.path.with_suffix(".new")
        try:
            fresh.write_text(json.dumps({"road": road, "boot_id": self.boot_id}) + "\n")
            fresh.replace(self.path)
        except OSError as error:
            log.warning("%s cannot be written: %s", self.path, error)
