"""Which containers hold what a link is attached to: those of pods by labels or by UID, or some by their id."""

from __future__ import annotations

from conductor.model.schema.labels import label_selector
from conductor.model.schema.rules import AnyOf, Needs
from conductor.model.schema.tree import Node, items, record, text

__all__ = ["CONTAINERS", "NETWORK_NAMESPACES"]

DEMANDS = 16
"""In one selector of pods, of each kind."""
WORD = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"

_FIELDS: dict[str, Node] = {
    "namespace": text("Namespace of the pods; those of all namespaces where this is left out.", most=63, pattern=WORD),
    "pods": label_selector(
        "Pods of this node, by their labels; an empty one takes all. It is what the cluster says now: pods that come,"
        " go or change their labels are followed.",
        of="pod",
        most=DEMANDS,
    ),
    "podUIDs": items(
        "Pods by their UID (metadata.uid): all their containers.",
        text("A UID.", most=36, pattern="^([0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}|[0-9A-Fa-f]{32})$"),
        most=64,
    ),
    "containerIDs": items(
        "Containers by their id (status.containerStatuses[].containerID), with or without containerd://.",
        text("An id.", most=128, pattern="^([a-z0-9-]+://)?[0-9a-f]{64}$"),
        most=64,
    ),
}
_NAMES = items(
    "Containers of these pods, by name; all but the pod's sandbox where this is left out.",
    text("A name.", most=63, pattern=WORD),
    most=DEMANDS,
    least=1,
)
_NOTHING = AnyOf(
    fields=("pods", "podUIDs", "containerIDs"), message="selects nothing: give pods, podUIDs or containerIDs"
)

NETWORK_NAMESPACES: Node = record(
    "Pods whose network namespaces hold the interfaces. What any of the forms matches is chosen; pods of the host's"
    " network are left out.",
    _FIELDS,
    rules=(
        _NOTHING,
        Needs(
            fields=("namespace",),
            needs="pods",
            message="namespace is about pods: give pods, too; an empty one takes all",
        ),
    ),
)
CONTAINERS: Node = record(
    "Containers that hold the target. What any of the forms matches is chosen.",
    {**_FIELDS, "containerNames": _NAMES},
    rules=(
        _NOTHING,
        Needs(
            fields=("namespace", "containerNames"),
            needs="pods",
            message="namespace and containerNames are about pods: give pods, too; an empty one takes all",
        ),
    ),
)
