"""User programs: what is asked of the user-space half of a tool."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import Any

from conductor.model.grants import MapGrant
from conductor.model.ids import Name
from conductor.model.kernel import ImageObject, KernelProgramSpec, PathObject

__all__ = ["BuiltinSource", "Limits", "ProgramSpec", "ProgramType", "Source", "UserProgramSpec", "WasmSource"]


class ProgramType(IntEnum):
    """`program_type` on the wire."""

    BUILTIN = 0
    WASM = 1

    @property
    def word(self) -> str:
        """Spelling in tables and JSON: Builtin, Wasm."""
        return {0: "Builtin", 1: "Wasm"}[int(self)]


class Source(IntEnum):
    """Where a wish came from, strongest first."""

    CLUSTER = 0
    FILE = 1
    GRPC = 2

    @property
    def word(self) -> str:
        """Spelling in tables and JSON: cluster, file, grpc."""
        return self.name.lower()


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltinSource:
    """A built-in by its stem."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WasmSource:
    """A core WebAssembly module, from a file or an image."""

    location: PathObject | ImageObject


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Hard budget of one program. Defaults suit hundreds of programs in one agent."""

    memory: int = 16 << 20
    """Bytes of guest memory."""
    cpu: float = 0.1
    """Seconds of CPU per second, averaged."""
    cpu_call: float = 1.0
    """Seconds of CPU of one call."""
    series: int = 10_000
    log_lines: int = 20
    """Lines per second."""
    inbox: int = 4 << 20
    """Bytes of undelivered events."""
    map_operations: int = 1_000_000
    """Entries read or written per second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UserProgramSpec:
    """The user half of a tool. `config` is a JSON object, checked by the program itself."""

    name: Name
    source: BuiltinSource | WasmSource
    maps: tuple[MapGrant, ...] = ()
    config: Mapping[str, Any] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)
    metadata: Mapping[str, str] = field(default_factory=dict)
    overlap: bool = True
    """Whether a new version is proven before the old one ends. It says how to change, and is no change of what runs."""

    @property
    def type(self) -> ProgramType:
        """Kind of the program, as on the wire."""
        return ProgramType.BUILTIN if isinstance(self.source, BuiltinSource) else ProgramType.WASM

    def runs_as(self, other: UserProgramSpec) -> bool:
        """Whether an instance made of one is what the other asks for."""
        return replace(self, overlap=other.overlap) == other


ProgramSpec = KernelProgramSpec | UserProgramSpec
