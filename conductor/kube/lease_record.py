"""What a Lease says, parsed and printed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self

from conductor.model.cluster import Document, Key

__all__ = ["LeaseRecord", "stamp"]

CANDIDATES = "ebpfconductor.io/candidates"


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseRecord:
    """The part of a Lease that an election is about."""

    holder: str = ""
    """Empty: nobody's."""
    seconds: int = 0
    acquired: str = ""
    renewed: str = ""
    """The holder's own clock; compared with what was read before, never with ours."""
    transitions: int = 0
    candidates: int = 1
    """How many want it, as far as the holder knows."""

    @classmethod
    def parse(cls, document: Document) -> Self:
        """Read a Lease, whatever it lacks."""
        spec = document.get("spec") or {}
        annotations = (document.get("metadata") or {}).get("annotations") or {}
        return cls(
            holder=spec.get("holderIdentity") or "",
            seconds=spec.get("leaseDurationSeconds") or 0,
            acquired=spec.get("acquireTime") or "",
            renewed=spec.get("renewTime") or "",
            transitions=spec.get("leaseTransitions") or 0,
            candidates=int(told) if (told := annotations.get(CANDIDATES, "")).isdecimal() else 1,
        )

    def document(self, key: Key, before: Document | None) -> Document:
        """Answer the Lease that says so, keeping what else the one `before` has, its version included."""
        spec = {
            "holderIdentity": self.holder or None,
            "leaseDurationSeconds": self.seconds,
            "acquireTime": self.acquired or None,
            "renewTime": self.renewed or None,
            "leaseTransitions": self.transitions,
        }
        metadata: Document = dict(before["metadata"]) if before else {"namespace": key.namespace, "name": key.name}
        metadata["annotations"] = {**(metadata.get("annotations") or {}), CANDIDATES: str(self.candidates)}
        kept = (before.get("spec") or {}) if before else {}
        told = {name: value for name, value in (kept | spec).items() if value is not None}
        return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": told}


def stamp(moment: datetime) -> str:
    """Answer a time as Leases hold it: UTC, six digits."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
