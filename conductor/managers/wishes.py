"""Wishes on disk: one file per source, readable by the version before and after."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from conductor.errors import ConductorError
from conductor.managers.durable import keep_aside, make_directory, write_whole
from conductor.model.ids import Name
from conductor.model.manifest import kind_of, manifest_of, parse_manifest
from conductor.model.program import ProgramSpec, Source
from conductor.plan.merge import Key, Wish

__all__ = ["StoredWishes", "WishFiles"]

VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredWishes:
    """What was found on disk. `problems` has a sentence per file or wish that could not be used."""

    wishes: Mapping[Source, Mapping[Key, Wish]]
    stopped: frozenset[Name] = frozenset()
    problems: tuple[str, ...] = ()


@dataclass(slots=True)
class _Document:
    """One file as it was read: fields and entries that this version does not know are written back untouched."""

    top: dict[str, Any] = field(default_factory=dict)
    raw: dict[Key, tuple[ProgramSpec, dict[str, Any]]] = field(default_factory=dict)
    foreign: list[Any] = field(default_factory=list)
    texts: dict[Key, tuple[Wish, str]] = field(default_factory=dict)
    """What was written last: a thousand wishes are not printed anew because one changed."""

    def text(self, key: Key, wish: Wish) -> str:
        """Print one wish."""
        written = self.texts.get(key)
        if written is not None and written[0] is wish:
            return written[1]
        return json.dumps(_entry(wish, self.raw.get(key)))


class WishFiles:
    """Own `wishes/`: `cluster.json`, `file.json`, `grpc.json`, and `stopped.json`."""

    def __init__(self, *, root: Path) -> None:
        self._root = root
        self._documents = {source: _Document() for source in Source}

    def prepare(self) -> None:
        """Make the directory; drop what was half-written when an earlier run was killed."""
        make_directory(self._root)
        for left in self._root.glob(".*-*"):
            with suppress(OSError):
                left.unlink()

    def read(self) -> StoredWishes:
        """Read all wishes; a file that is no JSON is kept aside, a wish that makes no sense here stays on disk."""
        problems: list[str] = []
        wishes = {source: self._read_source(source, problems) for source in Source}
        stopped = self._load("stopped", problems).get("stopped", [])
        names = frozenset(Name(n) for n in stopped if isinstance(n, str)) if isinstance(stopped, list) else frozenset()
        return StoredWishes(wishes=wishes, stopped=names, problems=tuple(problems))

    def write(self, source: Source, wishes: Mapping[Key, Wish]) -> None:
        """Make a source's wishes durable, whole or not at all. Raises `StateUnwritable`."""
        document = self._documents[source]
        texts = {key: (wish, document.text(key, wish)) for key, wish in sorted(wishes.items(), key=lambda i: i[0])}
        entries = ",\n  ".join([*(text for _, text in texts.values()), *map(json.dumps, document.foreign)])
        top = json.dumps(document.top | {"version": VERSION})
        write_whole(self._root / f"{source.word}.json", f'{top[:-1]}, "wishes": [\n  {entries}\n]}}\n'.encode())
        document.texts = texts
        document.raw = {k: v for k, v in document.raw.items() if k in wishes}

    def write_stopped(self, names: Collection[Name]) -> None:
        """Remember which programs a person stopped. Raises `StateUnwritable`."""
        document = {"version": VERSION, "stopped": sorted(names)}
        write_whole(self._root / "stopped.json", json.dumps(document).encode())

    def _read_source(self, source: Source, problems: list[str]) -> dict[Key, Wish]:
        top = self._load(source.word, problems)
        entries = top.pop("wishes", [])
        document = self._documents[source] = _Document(top=top)
        wishes: dict[Key, Wish] = {}
        for entry in entries if isinstance(entries, list) else []:
            try:
                wish = _wish(entry)
            except (ConductorError, TypeError, KeyError) as exc:
                document.foreign.append(entry)
                problems.append(f"a wish of source {source.word} is not understood and left as it is: {exc}")
                continue
            key = (kind_of(wish.spec), wish.spec.name)
            wishes[key] = wish
            document.raw[key] = (wish.spec, entry)
        return wishes

    def _load(self, stem: str, problems: list[str]) -> dict[str, Any]:
        path = self._root / f"{stem}.json"
        try:
            loaded = json.loads(path.read_bytes())
            if not isinstance(loaded, dict):
                raise TypeError("it is not an object")
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, TypeError, RecursionError) as exc:
            aside = keep_aside(path)
            problems.append(f"{path} could not be read ({exc}); it is kept as {aside.name}, and its wishes are lost")
            return {}
        return loaded


def _wish(entry: dict[str, Any]) -> Wish:
    generation = entry.get("generation", 1)
    spec = parse_manifest(entry["manifest"], unknown=[])
    return Wish(spec=spec, generation=generation if isinstance(generation, int) else 1)


def _entry(wish: Wish, known: tuple[ProgramSpec, dict[str, Any]] | None) -> dict[str, Any]:
    if known is not None and known[0] == wish.spec:
        return known[1] | {"generation": wish.generation}
    return {"generation": wish.generation, "manifest": manifest_of(wish.spec)}
