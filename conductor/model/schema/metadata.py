"""Metadata of an object: what the API server demands of names, labels and annotations."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from conductor.model.schema.causes import Cause, Weight, invalid, json_type

__all__ = ["FIELDS", "decoding_causes", "metadata_causes"]

FIELDS = (
    "annotations",
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "finalizers",
    "generateName",
    "generation",
    "labels",
    "managedFields",
    "name",
    "namespace",
    "ownerReferences",
    "resourceVersion",
    "selfLink",
    "uid",
)
_SUBDOMAIN = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
_LABEL = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_ENDS = "and must start and end with an alphanumeric character"
_SUBDOMAIN_HELP = (
    f"a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', {_ENDS}"
    f" (e.g. 'example.com', regex used for validation is '{_SUBDOMAIN}')"
)
_KEY_HELP = (
    f"must consist of alphanumeric characters, '-', '_' or '.', {_ENDS}"
    f" (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '{_LABEL}')"
)
_VALUE_HELP = (
    f"a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', {_ENDS}"
    f" (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '({_LABEL})?')"
)
_SHAPES = {"name": str, "labels": dict, "annotations": dict}
_GO = {"integer": "number", "boolean": "bool"}


def decoding_causes(raw: object) -> Iterator[Cause]:
    """What cannot be read as metadata at all."""
    if raw is None:
        return
    if not isinstance(raw, Mapping):
        yield _undecodable("metadata", raw, "Go value of type v1.ObjectMeta")
        return
    for key, shape in _SHAPES.items():
        value = raw.get(key)
        if shape is str:
            if value is not None and not isinstance(value, str):
                yield _undecodable(f"metadata.{key}", value, f"Go struct field ObjectMeta.{key} of type string")
        elif value is not None and not isinstance(value, Mapping):
            yield _undecodable(f"metadata.{key}", value, f"Go struct field ObjectMeta.{key} of type map[string]string")
        else:
            for name, text in (value or {}).items():
                if text is not None and not isinstance(text, str):
                    field = f"metadata.{key}.{name}"
                    yield _undecodable(field, text, f"Go struct field ObjectMeta.{key} of type string")


def metadata_causes(raw: object) -> Iterator[Cause]:
    """What the API server demands of every object's metadata; the schema bounds the name besides."""
    head: Mapping[str, Any] = raw if isinstance(raw, Mapping) else {}
    name = head.get("name") or ""
    if not name:
        message = "Required value: name or generateName is required"
        yield Cause(field="metadata.name", message=message, weight=Weight.BLOCKING)
    else:
        if len(name.encode(errors="replace")) > 253:
            yield invalid("metadata.name", name, "must be no more than 253 characters")
        if not re.fullmatch(_SUBDOMAIN, name):
            yield invalid("metadata.name", name, _SUBDOMAIN_HELP)
    for key, value in (head.get("labels") or {}).items():
        yield from _key_causes("metadata.labels", str(key))
        if len(value or "") > 63:
            yield invalid("metadata.labels", value, "must be no more than 63 bytes")
        if not re.fullmatch(f"({_LABEL})?", value or ""):
            yield invalid("metadata.labels", value, _VALUE_HELP)
    for key in head.get("annotations") or {}:
        yield from _key_causes("metadata.annotations", str(key).lower())


def _key_causes(field: str, key: str) -> Iterator[Cause]:
    prefix, slash, name = key.rpartition("/")
    if "/" in prefix:
        also = " with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
        yield invalid(field, key, f"a valid label key {_KEY_HELP}{also}")
        return
    if slash and not prefix:
        yield invalid(field, key, "prefix part must be non-empty")
    elif slash and not re.fullmatch(_SUBDOMAIN, prefix):
        yield invalid(field, key, f"prefix part {_SUBDOMAIN_HELP}")
    if not name:
        yield invalid(field, key, "name part must be non-empty")
    if len(name) > 63:
        yield invalid(field, key, "name part must be no more than 63 bytes")
    if not re.fullmatch(_LABEL, name):
        yield invalid(field, key, f"name part {_KEY_HELP}")


def _undecodable(field: str, value: object, wanted: str) -> Cause:
    found = json_type(value)
    message = f"json: cannot unmarshal {_GO.get(found, found)} into {wanted}"
    return Cause(field=field, message=message, weight=Weight.DECODING)
