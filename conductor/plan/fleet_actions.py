"""What the leader does to a cluster, as nouns. Whoever performs them reads nothing in between."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from conductor.model.cluster import Document
from conductor.model.fleet import Assignment, FleetKey
from conductor.model.fleet_rows import RevisionRow
from conductor.model.fleet_status import FleetStatus

__all__ = [
    "AddFinalizer",
    "CreateNodeState",
    "CreateRevision",
    "DeleteNodeState",
    "DeleteRevision",
    "Emit",
    "FleetAction",
    "RemoveFinalizer",
    "WriteNodeState",
    "WriteStatus",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateRevision:
    """Make a ControllerRevision; nodes are told of it once it is seen to be there."""

    key: FleetKey
    row: RevisionRow
    document: Document


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteRevision:
    """Remove a ControllerRevision that nothing names any more."""

    key: FleetKey
    name: str
    resource_version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateNodeState:
    """Make a node's object."""

    node: str
    assignments: tuple[Assignment, ...]
    changed: tuple[FleetKey, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteNodeState:
    """Say what a node is to run: all that changes for it, in one write."""

    node: str
    assignments: tuple[Assignment, ...]
    resource_version: str
    changed: tuple[FleetKey, ...]
    """Programs whose entry differs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteNodeState:
    """Remove the object of a node that is gone."""

    node: str
    resource_version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteStatus:
    """Say how a program stands."""

    key: FleetKey
    resource_version: str
    status: FleetStatus
    urgent: bool
    """More than counts and messages changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AddFinalizer:
    """Have a program stay until its nodes have let it go."""

    key: FleetKey
    resource_version: str
    finalizers: tuple[str, ...]
    """All of them, as they are to be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveFinalizer:
    """Let a program go."""

    key: FleetKey
    resource_version: str
    finalizers: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Emit:
    """Tell in `kubectl describe` what happened to a program."""

    key: FleetKey
    uid: str
    reason: str
    note: str
    warning: bool = False
    occasion: str = ""
    """Told once for the same reason on the same occasion, whoever leads."""


FleetAction: TypeAlias = (
    CreateRevision
    | DeleteRevision
    | CreateNodeState
    | WriteNodeState
    | DeleteNodeState
    | WriteStatus
    | AddFinalizer
    | RemoveFinalizer
    | Emit
)
