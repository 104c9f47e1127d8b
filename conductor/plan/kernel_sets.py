"""What one Load of ours leaves behind, found again by the metadata it was stamped with.

Ids are never trusted across a boot, and a daemon's database may outlive one: a stamp of another boot is stale.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from conductor.model.facts import ContainerProcess
from conductor.model.ids import LinkId, Name, ProgramId
from conductor.model.kernel import KernelProgramSpec, KernelType, Link
from conductor.ports import KernelLoaded

__all__ = ["APP", "OWNER", "KernelWant", "LinkRecord", "LinkWant", "LoadedSet", "load_hash", "sets_of", "stamp"]

OWNER = "ebpfconductor.io/owner"
APP = "ebpfconductor.io/app"
_SPEC = "ebpfconductor.io/spec"
_GENERATION = "ebpfconductor.io/generation"
_BOOT = "ebpfconductor.io/boot-id"
_WRITABLE = "ebpfconductor.io/writable-maps"
_TOKEN = "ebpfconductor.io/load"  # noqa: S105 -- names one Load, guards nothing
_LENDER = "ebpfconductor.io/map-owner-load"
_MAPS = "ebpfconductor.io/maps-load"
_LAYOUTS = "ebpfconductor.io/map-layouts"
_BPFMAN_NAME = "bpfman.io/ProgramName"
_OURS = (OWNER, APP, _SPEC, _GENERATION, _BOOT, _WRITABLE, _TOKEN, _LENDER, _MAPS, _LAYOUTS, _BPFMAN_NAME)


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkWant:
    """One link that is to stand: a selector's interfaces are one want each, told apart by index when recreated."""

    function: str
    type: KernelType
    link: Link
    interface: str = ""
    index: int = 0
    process: ContainerProcess | None = None
    """Whose namespace or files `link` names by pid, where the spec selects containers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelWant:
    """A kernel program as it is to be: its object found and digested, its selectors resolved."""

    spec: KernelProgramSpec
    path: str
    digest: str
    generation: int = 1
    links: tuple[LinkWant, ...] = ()

    @property
    def name(self) -> Name:
        """Name of the wish."""
        return self.spec.name

    @property
    def hash(self) -> str:
        """What must be loaded anew when it changes; links may change without."""
        return load_hash(self.spec, self.digest)


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkRecord:
    """A link of ours by program id. `link` None: about to be attached, the answer is not known (yet)."""

    name: Name
    program: ProgramId
    want: LinkWant
    link: LinkId | None = None
    aside: bool = False
    """It makes room for a new version's link: it is attached again unless that version comes to run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedSet:
    """The programs of one Load, as the daemon holds them. `token` tells two Loads of one wish apart."""

    name: Name
    token: str
    hash: str
    generation: int
    lender: str
    """Token of the maps of its map owner; empty: it has none."""
    this_boot: bool
    members: tuple[KernelLoaded, ...]
    maps: str = ""
    """Token of the Load that made its maps: that of an earlier version where they were handed over."""
    layouts: Mapping[str, str] | None = None
    """Digests of its maps' layouts by name; None: not known."""

    def member(self, function: str) -> KernelLoaded:
        """The program of that name. Raises `KeyError`."""
        return {member.name: member for member in self.members}[function]


def load_hash(spec: KernelProgramSpec, digest: str) -> str:
    """Digest of everything that is fixed when a program is loaded."""
    fixed = {
        "digest": digest,
        "programs": sorted((p.name, p.type.value, p.attach_to) for p in spec.programs),
        "globals": sorted((name, value.hex()) for name, value in spec.global_data.items()),
        "owner": spec.map_owner,
        "writable": sorted(spec.writable_maps),
    }
    return hashlib.sha256(json.dumps(fixed, sort_keys=True).encode()).hexdigest()[:32]


def stamp(
    want: KernelWant,
    *,
    owner: str,
    boot_id: str,
    token: str,
    lender: str,
    maps: str = "",
    layouts: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Metadata of a Load, by which it is found again; the wish's own labels come along and never win."""
    ours = {
        OWNER: owner,
        APP: want.name,
        _SPEC: want.hash,
        _GENERATION: str(want.generation),
        _BOOT: boot_id,
        _TOKEN: token,
        _MAPS: maps or token,
        _BPFMAN_NAME: want.name,
    }
    if lender:
        ours[_LENDER] = lender
    if layouts is not None:
        ours[_LAYOUTS] = ",".join(f"{name}={digest}" for name, digest in sorted(layouts.items()))
    if want.spec.writable_maps:
        ours[_WRITABLE] = ",".join(want.spec.writable_maps)
    labels = {key: value for key, value in want.spec.metadata.items() if key not in _OURS}
    return {**labels, **ours}


def sets_of(loaded: Collection[KernelLoaded], boot_id: str) -> tuple[LoadedSet, ...]:
    """Group what the daemon lists by the Load that it came from, in order of ids."""
    groups: dict[tuple[str, str], list[KernelLoaded]] = {}
    for program in sorted(loaded, key=lambda p: p.id):
        key = (program.metadata.get(APP, ""), program.metadata.get(_TOKEN, ""))
        groups.setdefault(key, []).append(program)
    return tuple(_set(name, token, members, boot_id) for (name, token), members in groups.items())


def _set(name: str, token: str, members: list[KernelLoaded], boot_id: str) -> LoadedSet:
    told: Mapping[str, str] = members[0].metadata
    generation = told.get(_GENERATION, "")
    return LoadedSet(
        name=Name(name),
        token=token,
        hash=told.get(_SPEC, ""),
        generation=int(generation) if generation.isdecimal() else 0,
        lender=told.get(_LENDER, ""),
        this_boot=told.get(_BOOT) == boot_id,
        members=tuple(members),
        maps=told.get(_MAPS, token),
        layouts=_layouts(told.get(_LAYOUTS)),
    )


def _layouts(told: str | None) -> Mapping[str, str] | None:
    if told is None:
        return None
    pairs = (pair.partition("=") for pair in told.split(",") if pair)
    return {name: digest for name, _, digest in pairs}
