"""Container selectors in manifests: pods by UID, containers by id."""

from __future__ import annotations

import re
from typing import Any

from conductor.errors import InvalidSpec
from conductor.model.kernel import ContainerSelector
from conductor.model.manifest_fields import Fields, shown, text_of

__all__ = ["containers_of", "containers_spec_of"]

_ID = re.compile(r"(?:[a-z0-9-]+://)?([0-9a-f]{64})")


def containers_of(fields: Fields) -> ContainerSelector:
    """Parse `networkNamespaces` or `containers`."""
    pods, containers = fields.items("podUIDs", _uid_of), fields.items("containerIDs", _id_of)
    fields.refuse_unknown()
    return ContainerSelector(pod_uids=pods, container_ids=containers)


def containers_spec_of(selector: ContainerSelector) -> dict[str, Any]:
    """Print a selector."""
    lists = {"podUIDs": list(selector.pod_uids), "containerIDs": list(selector.container_ids)}
    return {key: value for key, value in lists.items() if value}


def _uid_of(value: object, path: str) -> str:
    return text_of(value, path, most=36).lower()


def _id_of(value: object, path: str) -> str:
    found = _ID.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise InvalidSpec(
            path, f"{shown(value)} is no container id of 64 hexadecimal digits, with or without containerd://"
        )
    return found[1]
