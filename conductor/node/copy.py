"""The local copy of what the cluster asked of this node: with it an agent starts while the API server is away."""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conductor.errors import StateUnwritable
from conductor.managers.durable import keep_aside, make_directory, write_whole
from conductor.model.fleet import Assignment

__all__ = ["Assigned", "NodeCopy"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Assigned:
    """What this node is to run, and which generation of its NodeState said so."""

    generation: int = 0
    programs: tuple[Assignment, ...] = ()


class NodeCopy:
    """Own `cluster/`: `assigned.json` and one file per revision. Files are whole or absent."""

    def __init__(self, *, root: Path) -> None:
        self._root, self._revisions = root, root / "revisions"

    def prepare(self) -> None:
        """Make the directories; drop what was half-written when an earlier run was killed. Raises `StateUnwritable`."""
        make_directory(self._revisions)
        for left in (*self._root.glob(".*-*"), *self._revisions.glob(".*-*")):
            with suppress(OSError):
                left.unlink()

    def assigned(self) -> Assigned | None:
        """Answer what was assigned last; None where nothing ever was, or where it cannot be read."""
        found = _read(self._root / "assigned.json")
        if found is None or not isinstance(found.get("programs"), list):
            return None
        programs = tuple(Assignment.parse(raw) for raw in found["programs"] if isinstance(raw, dict))
        generation = found.get("generation")
        return Assigned(generation=generation if isinstance(generation, int) else 0, programs=programs)

    def assign(self, generation: int, programs: Sequence[Assignment]) -> None:
        """Keep what is assigned. Raises `StateUnwritable`."""
        told = {"generation": generation, "programs": [item.printed() for item in programs]}
        write_whole(self._root / "assigned.json", json.dumps(told).encode())

    def revision(self, name: str) -> dict[str, Any] | None:
        """Answer a revision's data; None where it is not here."""
        return _read(self._path(name))

    def keep(self, name: str, data: dict[str, Any]) -> None:
        """Keep a revision; a full disk costs nothing but another fetch."""
        try:
            write_whole(self._path(name), json.dumps(data).encode())
        except StateUnwritable as exc:
            log.warning("%s", exc)

    def collect(self, names: Collection[str]) -> None:
        """Drop the revisions that are not among these."""
        kept = {self._path(name).name for name in names}
        for path in self._revisions.glob("*.json"):
            if path.name not in kept:
                with suppress(OSError):
                    path.unlink()

    def _path(self, name: str) -> Path:
        # Names of objects have no slash; whatever else stands there, it stays in our folder.
        return self._revisions / f"{name.replace('/', '_')}.json"


def _read(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as exc:
        log.warning("%s could not be read (%s); it is kept as %s", path, exc, keep_aside(path).name)
        return None
    return found if isinstance(found, dict) else None
