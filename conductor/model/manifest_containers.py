"""Container selectors in manifests: pods by labels or UID, containers by id."""

from __future__ import annotations

import re
from typing import Any

from conductor.errors import InvalidSpec
from conductor.model.kernel import ContainerSelector
from conductor.model.labels import Expression, Selector
from conductor.model.manifest_fields import Fields, shown, text_of

__all__ = ["containers_of", "containers_spec_of"]

_ID = re.compile(r"(?:[a-z0-9-]+://)?([0-9a-f]{64})")
_OPERATORS = {word: word for word in ("In", "NotIn", "Exists", "DoesNotExist")}


def containers_of(fields: Fields) -> ContainerSelector:
    """Parse `networkNamespaces` or `containers`."""
    pods = fields.fields("pods")
    selector = ContainerSelector(
        pods=_selector_of(pods) if fields.has("pods") else None,
        namespace=fields.text("namespace", default="", most=63),
        container_names=fields.texts("containerNames", longest=63),
        pod_uids=fields.items("podUIDs", _uid_of),
        container_ids=fields.items("containerIDs", _id_of),
    )
    for checked in (pods, fields):
        checked.refuse_unknown()
    return selector


def containers_spec_of(selector: ContainerSelector) -> dict[str, Any]:
    """Print a selector."""
    told: dict[str, Any] = {
        "namespace": selector.namespace,
        "containerNames": list(selector.container_names),
        "podUIDs": list(selector.pod_uids),
        "containerIDs": list(selector.container_ids),
    }
    pods = {} if selector.pods is None else {"pods": selector.pods.printed()}
    return pods | {key: value for key, value in told.items() if value}


def _selector_of(pods: Fields) -> Selector:
    return Selector(
        match_labels=pods.words("matchLabels"), match_expressions=pods.records("matchExpressions", _expression_of)
    )


def _expression_of(fields: Fields) -> Expression:
    values = fields.items("values", lambda value, path: text_of(value, path, most=63, empty=True))
    return Expression(fields.text("key"), fields.choice("operator", _OPERATORS), values)


def _uid_of(value: object, path: str) -> str:
    return text_of(value, path, most=36).lower()


def _id_of(value: object, path: str) -> str:
    found = _ID.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise InvalidSpec(
            path, f"{shown(value)} is no container id of 64 hexadecimal digits, with or without containerd://"
        )
    return found[1]
