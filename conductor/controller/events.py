"""What `kubectl describe` shows of a program: events.k8s.io/v1, one for each time it happened."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

from conductor.model.cluster import Document
from conductor.model.fleet import API_VERSION
from conductor.plan.fleet_actions import Emit

__all__ = ["REPORTER", "event_of"]

REPORTER = "ebpfconductor.io/controller"
MOST_NOTE = 1024
MOST_INSTANCE = 128


def event_of(action: Emit, node: str) -> Document:
    """Make the event; the same occasion has the same name, whoever leads, so it is told once."""
    told = f"{action.uid} {action.reason} {action.occasion}"
    name = f"{action.key.name}.{hashlib.sha256(told.encode()).hexdigest()[:16]}"
    return {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        # Events of what has no namespace belong there.
        "metadata": {"namespace": "default", "name": name},
        "eventTime": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "reportingController": REPORTER,
        "reportingInstance": node[:MOST_INSTANCE] or "unknown",
        "action": "Rollout",
        "reason": action.reason[:MOST_INSTANCE],
        "regarding": {
            "apiVersion": API_VERSION,
            "kind": action.key.kind,
            "name": action.key.name,
            "uid": action.uid,
        },
        "note": _cut(action.note),
        "type": "Warning" if action.warning else "Normal",
    }


def _cut(note: str) -> str:
    whole = note.encode()
    return note if len(whole) <= MOST_NOTE else whole[: MOST_NOTE - 3].decode(errors="ignore") + "…"
