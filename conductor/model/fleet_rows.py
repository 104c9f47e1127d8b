"""What the leader keeps of programs and of their revisions."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from conductor.errors import InvalidSpec
from conductor.model.cluster import Document
from conductor.model.fleet import (
    API_VERSION,
    CONTROLLER_REVISIONS,
    FINALIZER,
    GROUP,
    KIND_LABEL,
    PROGRAM_LABEL,
    FleetKey,
    revision_name,
)
from conductor.model.fleet_status import FleetStatus
from conductor.model.fleet_strategy import Strategy
from conductor.model.fleet_times import moment_of
from conductor.model.labels import Selector
from conductor.model.manifest import USER_PROGRAM, parse_manifest

__all__ = ["SPEC_HASH", "ProgramRow", "RevisionRow", "content_of", "digest_of", "revision_of"]

HASH = f"{GROUP}/hash"
SPEC_HASH = f"{GROUP}/spec-hash"
"""Annotation of a revision: the spec that it was made of, before its images' tags were resolved."""
STEERING = ("nodeSelector", "updateStrategy")


def content_of(kind: str, spec: dict[str, Any]) -> dict[str, Any]:
    """Answer what of a spec a node needs: without where and how it is rolled out, but for what a node must heed."""
    content = {name: value for name, value in spec.items() if name not in STEERING}
    strategy = spec.get("updateStrategy")
    if kind == USER_PROGRAM and isinstance(strategy, Mapping) and strategy.get("type") == "Recreate":
        content["updateStrategy"] = {"type": "Recreate"}  # the default is left out: it never changed a hash
    return content


def digest_of(key: FleetKey, content: dict[str, Any]) -> str:
    """Answer the hash of a program's content: sha256 of canonical JSON."""
    whole = {"kind": key.kind, "name": key.name, "spec": content}
    return hashlib.sha256(json.dumps(whole, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramRow:
    """A KernelProgram or UserProgram; its content stays at the API server."""

    kind: str
    name: str
    uid: str
    resource_version: str
    generation: int
    spec_hash: str
    """Of its content as written: tags are not resolved."""
    selector: Selector
    strategy: Strategy
    finalizers: tuple[str, ...] = ()
    deleted_at: float | None = None
    """Unix seconds at which its deletion was asked for."""
    problem: str = ""
    """Why its spec cannot be read by this version."""
    status: FleetStatus = field(default_factory=FleetStatus)

    @property
    def key(self) -> FleetKey:
        """Which program."""
        return FleetKey(self.kind, self.name)

    @property
    def deleting(self) -> bool:
        """Whether it is to go."""
        return self.deleted_at is not None

    @property
    def is_held(self) -> bool:
        """Whether it cannot go before we let it."""
        return FINALIZER in self.finalizers

    @classmethod
    def parse(cls, kind: str, document: Document) -> Self:
        """Read one; items of a list do not name their kind."""
        metadata, spec = document["metadata"], document.get("spec") or {}
        key = FleetKey(kind, metadata["name"])
        selector, strategy, problem = _steering(key, spec)
        return cls(
            kind=key.kind,
            name=key.name,
            uid=metadata.get("uid") or "",
            resource_version=metadata.get("resourceVersion") or "",
            generation=metadata.get("generation") or 0,
            spec_hash=digest_of(key, content_of(key.kind, spec)),
            selector=selector,
            strategy=strategy,
            finalizers=tuple(metadata.get("finalizers") or ()),
            deleted_at=moment_of(metadata["deletionTimestamp"]) if metadata.get("deletionTimestamp") else None,
            problem=problem,
            status=FleetStatus.parse(document.get("status") or {}),
        )


def _steering(key: FleetKey, spec: dict[str, Any]) -> tuple[Selector, Strategy, str]:
    """Read where and how; what cannot be read is a problem of this object, which must not count as gone for it."""
    try:
        selector, strategy = (
            Selector.parse(spec.get("nodeSelector") or {}),
            Strategy.parse(spec.get("updateStrategy") or {}),
        )
    except (AttributeError, TypeError, ValueError) as exc:
        return Selector(), Strategy(), f"spec.nodeSelector or spec.updateStrategy: {type(exc).__name__}"
    return selector, strategy, _problem(key, spec)


def _problem(key: FleetKey, spec: dict[str, Any]) -> str:
    try:
        manifest = {"apiVersion": API_VERSION, "kind": key.kind, "metadata": {"name": key.name}}
        parse_manifest({**manifest, "spec": content_of(key.kind, spec)})
    except InvalidSpec as exc:
        return str(exc)
    return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RevisionRow:
    """A ControllerRevision of ours; its data is read by whoever runs it."""

    name: str
    kind: str
    program: str
    hash: str
    spec_hash: str
    number: int
    resource_version: str = ""
    owner_uid: str = ""

    @property
    def key(self) -> FleetKey:
        """Whose it is."""
        return FleetKey(self.kind, self.program)

    @classmethod
    def parse(cls, document: Document) -> Self | None:
        """Read one; None where it is not ours."""
        metadata = document["metadata"]
        labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
        if KIND_LABEL not in labels or PROGRAM_LABEL not in labels:
            return None
        owners = metadata.get("ownerReferences") or ()
        return cls(
            name=metadata["name"],
            kind=labels[KIND_LABEL],
            program=labels[PROGRAM_LABEL],
            hash=annotations.get(HASH) or "",
            spec_hash=annotations.get(SPEC_HASH) or "",
            number=document.get("revision") or 0,
            resource_version=metadata.get("resourceVersion") or "",
            owner_uid=owners[0].get("uid", "") if owners else "",
        )


def revision_of(
    program: ProgramRow, content: dict[str, Any], *, number: int, namespace: str
) -> tuple[RevisionRow, Document]:
    """Make the revision that holds a program's content, its images resolved: what is kept of it, and the object."""
    digest = digest_of(program.key, content)
    row = RevisionRow(
        name=revision_name(program.key, digest),
        kind=program.kind,
        program=program.name,
        hash=digest,
        spec_hash=program.spec_hash,
        number=number,
        owner_uid=program.uid,
    )
    owner = {"apiVersion": API_VERSION, "kind": program.kind, "name": program.name, "uid": program.uid}
    return row, {
        "apiVersion": f"{CONTROLLER_REVISIONS.group}/{CONTROLLER_REVISIONS.version}",
        "kind": "ControllerRevision",
        "metadata": {
            "name": row.name,
            "namespace": namespace,
            "labels": {KIND_LABEL: program.kind, PROGRAM_LABEL: program.name},
            "annotations": {SPEC_HASH: program.spec_hash, HASH: digest},
            "ownerReferences": [owner],
        },
        "revision": number,
        "data": {"apiVersion": API_VERSION, "kind": program.kind, "metadata": {"name": program.name}, "spec": content},
    }
