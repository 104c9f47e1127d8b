"""What the daemon keeps on disk: one record per Load, so that a Load with several programs is there whole or not.

JSON with a version. A newer minor field is ignored, a missing one has its default; another version is set aside.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from conductor.loader.hooks import Hook, hook_from_json, hook_to_json
from conductor.model.ids import LinkId, ProgramId
from conductor.model.kernel import KernelType

__all__ = ["KernelFacts", "LinkRecord", "LoadRecord", "Place", "ProgramRecord", "record_from_json", "record_to_json"]

_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Interface of a network link: identity of its namespace and index therein; names may change."""

    device: int
    inode: int
    index: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkRecord:
    """A link that is pinned, or is about to be."""

    id: LinkId
    hook: Hook
    place: Place | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelFacts:
    """What the kernel says of a loaded program and never changes."""

    name: str
    tag: str
    loaded_at: str
    """RFC 3339, whole seconds, UTC."""
    gpl_compatible: bool = False
    map_ids: tuple[int, ...] = ()
    btf_id: int = 0
    bytes_xlated: int = 0
    jited: bool = False
    bytes_jited: int = 0
    bytes_memlock: int = 0
    verified_insns: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramRecord:
    """One loaded program: its id is the kernel's, `maps` are those pinned below its directory."""

    id: ProgramId
    name: str
    type: KernelType
    kernel: KernelFacts
    maps: Mapping[str, int] = field(default_factory=dict)
    shared: tuple[str, ...] = ()
    """Maps among them that the object asks to be pinned by name."""
    links: tuple[LinkRecord, ...] = ()

    def with_link(self, link: LinkRecord) -> ProgramRecord:
        """Add a link."""
        return replace(self, links=(*self.links, link))

    def without_link(self, id_: LinkId) -> ProgramRecord:
        """Take a link away."""
        return replace(self, links=tuple(link for link in self.links if link.id != id_))


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadRecord:
    """One Load and what has become of its programs. `key` is its first program's id and names the file."""

    key: ProgramId
    boot_id: str
    path: str
    programs: tuple[ProgramRecord, ...]
    global_data: Mapping[str, bytes] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    map_owner: ProgramId | None = None

    def with_program(self, program: ProgramRecord) -> LoadRecord:
        """Put `program` in the place of the one with its id."""
        return replace(self, programs=tuple(program if p.id == program.id else p for p in self.programs))

    def without_program(self, id_: ProgramId) -> LoadRecord:
        """Take a program away."""
        return replace(self, programs=tuple(p for p in self.programs if p.id != id_))


def record_to_json(record: LoadRecord) -> bytes:
    """Write a record."""
    document = {
        "version": _VERSION,
        "key": record.key,
        "boot_id": record.boot_id,
        "path": record.path,
        "global_data": {name: value.hex() for name, value in record.global_data.items()},
        "metadata": dict(record.metadata),
        "map_owner": record.map_owner,
        "programs": [_program_to_json(program) for program in record.programs],
    }
    return json.dumps(document, indent=1).encode() + b"\n"


def record_from_json(data: bytes) -> LoadRecord:
    """Read what `record_to_json` wrote. Raises `ValueError` with what is wrong."""
    try:
        document = json.loads(data)
        if document["version"] != _VERSION:
            raise ValueError(f"version {document['version']!r} is not {_VERSION}")
        owner = document["map_owner"]
        return LoadRecord(
            key=ProgramId(int(document["key"])),
            boot_id=str(document["boot_id"]),
            path=str(document["path"]),
            programs=tuple(_program_from_json(raw) for raw in document["programs"]),
            global_data={str(name): bytes.fromhex(value) for name, value in document["global_data"].items()},
            metadata={str(name): str(value) for name, value in document["metadata"].items()},
            map_owner=None if owner is None else ProgramId(int(owner)),
        )
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from error


def _program_to_json(program: ProgramRecord) -> dict[str, Any]:
    return {
        "id": program.id,
        "name": program.name,
        "type": program.type.value,
        "kernel": asdict(program.kernel),
        "maps": dict(program.maps),
        "shared": list(program.shared),
        "links": [
            {"id": link.id, "hook": hook_to_json(link.hook), "place": link.place and asdict(link.place)}
            for link in program.links
        ],
    }


def _program_from_json(raw: Mapping[str, Any]) -> ProgramRecord:
    facts = {f.name: raw["kernel"][f.name] for f in fields(KernelFacts) if f.name in raw["kernel"]}
    facts["map_ids"] = tuple(int(id_) for id_ in facts.get("map_ids", ()))
    return ProgramRecord(
        id=ProgramId(int(raw["id"])),
        name=str(raw["name"]),
        type=KernelType(raw["type"]),
        kernel=KernelFacts(**facts),
        maps={str(name): int(id_) for name, id_ in raw["maps"].items()},
        shared=tuple(str(name) for name in raw["shared"]),
        links=tuple(
            LinkRecord(
                id=LinkId(int(link["id"])),
                hook=hook_from_json(link["hook"]),
                place=Place(**link["place"]) if link["place"] else None,
            )
            for link in raw["links"]
        ),
    )
