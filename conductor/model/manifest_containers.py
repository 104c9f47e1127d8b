"""Container selectors in manifests: pods by UID, containers by id; what only a cluster can resolve is refused."""

from __future__ import annotations

import re
from typing import Any

from conductor.errors import InvalidSpec
from conductor.model.kernel import ContainerSelector
from conductor.model.manifest_fields import Fields, shown

__all__ = ["containers_of", "containers_spec_of"]

_UID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{32}")
_ID = re.compile(r"(?:[a-z0-9-]+://)?([0-9a-f]{64})")
_CLUSTER = ("pods", "namespace", "containerNames")
_HELP = "podUIDs (metadata.uid) or containerIDs (status.containerStatuses[].containerID)"


def containers_of(fields: Fields) -> ContainerSelector:
    """Parse `networkNamespaces` or `containers`."""
    for key in _CLUSTER:
        if fields.has(key):
            problem = f"only a cluster knows that, which this version does not talk to; give {_HELP}"
            raise InvalidSpec(fields.at(key), problem)
    fields.ignore(*_CLUSTER)
    pods, containers = fields.items("podUIDs", _uid_of), fields.items("containerIDs", _id_of)
    fields.refuse_unknown()
    if not pods and not containers:
        raise InvalidSpec(fields.at("podUIDs"), f"selects nothing: give {_HELP}")
    return ContainerSelector(pod_uids=pods, container_ids=containers)


def containers_spec_of(selector: ContainerSelector) -> dict[str, Any]:
    """Print a selector."""
    lists = {"podUIDs": list(selector.pod_uids), "containerIDs": list(selector.container_ids)}
    return {key: value for key, value in lists.items() if value}


def _uid_of(value: object, path: str) -> str:
    if not isinstance(value, str) or not _UID.fullmatch(value.lower()):
        raise InvalidSpec(path, f"{shown(value)} is no pod's UID, like 01234567-89ab-cdef-0123-456789abcdef")
    return value.lower()


def _id_of(value: object, path: str) -> str:
    found = _ID.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise InvalidSpec(
            path, f"{shown(value)} is no container id of 64 hexadecimal digits, with or without containerd://"
        )
    return found[1]
