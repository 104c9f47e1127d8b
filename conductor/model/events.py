"""What managers tell each other; plain values in bounded queues."""

from __future__ import annotations

from dataclasses import dataclass

from conductor.model.ids import Name
from conductor.model.image import PullProgress
from conductor.model.status import State

__all__ = [
    "Event",
    "FactsChanged",
    "ImagePulling",
    "InterfacesChanged",
    "KernelChanged",
    "ProgramChanged",
    "ProgramGone",
    "RoadChanged",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramChanged:
    """A user program has another state, reason or generation."""

    name: Name
    state: State


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramGone:
    """A user program was unloaded."""

    name: Name


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelChanged:
    """A kernel program was loaded, replaced, attached, refused or removed: its maps may be others now."""

    name: Name


@dataclass(frozen=True, slots=True, kw_only=True)
class RoadChanged:
    """The kernel daemon came or went."""

    connected: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class InterfacesChanged:
    """Interfaces came, went or changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FactsChanged:
    """Names of addresses or containers changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagePulling:
    """A pull got further."""

    progress: PullProgress


Event = ProgramChanged | ProgramGone | KernelChanged | RoadChanged | InterfacesChanged | FactsChanged | ImagePulling
