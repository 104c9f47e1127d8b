"""The check that refuses a manifest as the API server does: same fields, same sentences, in the same stages."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from conductor.model.manifest_fields import did_you_mean
from conductor.model.schema.causes import (
    Cause,
    Weight,
    invalid,
    is_whole,
    json_type,
    printed,
    sorted_json,
    too_long,
    too_many,
    unsupported,
    wrong_type,
)
from conductor.model.schema.kinds import Kind
from conductor.model.schema.metadata import FIELDS, decoding_causes, metadata_causes
from conductor.model.schema.tree import Node

__all__ = ["causes_of"]


def causes_of(document: Mapping[str, Any], kind: Kind) -> tuple[Cause, ...]:
    """Everything for which the API server refuses this document as a new object of this kind.

    What cannot be decoded hides the rest; unknown fields hide what else is wrong; rules between fields are looked at
    where every field by itself is of its type and within its bounds.
    """
    root = kind.root
    for stage in (decoding_causes(document.get("metadata")), _unknown(document, _decoded(root), "")):
        if causes := tuple(stage):
            return causes
    asked = {key: value for key, value in document.items() if key != "status"}  # it is not the writer's to say
    causes = (*metadata_causes(document.get("metadata")), *_wrong(asked, root, ""), *_twice(asked, root, ""))
    if any(cause.weight is Weight.BLOCKING for cause in causes):
        return causes
    return (*causes, *_broken(asked, root, ""))


def _decoded(root: Node) -> Node:
    """What a whole object may hold: the schema knows of no more than its own parts."""
    anything: Node = {"x-kubernetes-preserve-unknown-fields": True}
    head: Node = {"properties": dict.fromkeys(FIELDS, anything)}
    return {"properties": {**root["properties"], "metadata": head, "apiVersion": {}, "kind": {}}}


def _unknown(value: object, node: Node, path: str) -> Iterator[Cause]:
    """Fields that no node knows; below what is of another shape than its node, every field is one."""
    if "x-kubernetes-preserve-unknown-fields" in node:
        return
    match value:
        case Mapping():
            known = node.get("properties", {})
            for key, child in value.items():
                at = _at(path, key)
                if (below := _child(node, key)) is None:
                    yield _unknown_at(at, key, known)
                else:
                    yield from _unknown(child, below, at)
        case list() | tuple():
            for index, child in enumerate(value):
                yield from _unknown(child, node.get("items", {}), f"{path}[{index}]")
        case _:
            pass


def _unknown_at(path: str, key: object, known: Any) -> Cause:
    hint = did_you_mean(str(key), known)
    return Cause(field=path, message=f'unknown field "{path}"', weight=Weight.DECODING, hint=hint)


def _wrong(value: object, node: Node, path: str) -> Iterator[Cause]:
    """What is wrong with values by themselves, all the way down."""
    found = json_type(value)
    if "x-kubernetes-int-or-string" in node:
        if found not in {"integer", "string"}:
            yield wrong_type(
                path,
                "integer,string",
                value,
                hint=f'; a fraction is text, as in "{value}"' if found == "number" else "",
            )
            yield wrong_type(path, "integer", value)
            yield from _of_another_type(value, node, path)
            return
    elif found != node.get("type", found):
        yield wrong_type(path, node["type"], value)
        yield from _of_another_type(value, node, path)
        return
    match value:
        case Mapping():
            yield from _wrong_object(_there(value), node, path)
        case list() | tuple():
            yield from _wrong_list(value, node, path)
        case str():
            yield from _wrong_text(value, node, path)
        case int() | float() if is_whole(value) and not isinstance(value, bool):
            yield from _wrong_number(int(value), node, path)
        case _:
            pass


def _of_another_type(value: object, node: Node, path: str) -> Iterator[Cause]:
    """What is held against a value of the wrong type, too."""
    if "enum" in node:
        yield unsupported(path, value, node["enum"])
    if isinstance(value, float):
        yield from _wrong_number(value, node, path)


def _wrong_object(value: Mapping[str, Any], node: Node, path: str) -> Iterator[Cause]:
    if len(value) > node.get("maxProperties", len(value)):
        yield too_many(path, len(value), node["maxProperties"])
    for key in node.get("required", ()):
        if key not in value:
            yield Cause(field=_at(path, key), message="Required value", weight=Weight.BLOCKING)
    for key, child in value.items():
        if (below := _child(node, key)) is not None:
            yield from _wrong(child, below, _at(path, key))


def _wrong_list(value: Sequence[Any], node: Node, path: str) -> Iterator[Cause]:
    if len(value) > node["maxItems"]:
        yield too_many(path, len(value), node["maxItems"])
    if len(value) < node.get("minItems", 0):
        yield invalid(path, len(value), f"{path} in body should have at least {node['minItems']} items")
    for index, child in enumerate(value):
        yield from _wrong(child, node["items"], f"{path}[{index}]")


def _wrong_text(value: str, node: Node, path: str) -> Iterator[Cause]:
    if "enum" in node and value not in node["enum"]:
        yield unsupported(path, value, node["enum"])
    if len(value) > node["maxLength"]:
        yield too_long(path, node["maxLength"])
    elif len(value) < node.get("minLength", 0):
        yield invalid(path, value, f"{path} in body should be at least {node['minLength']} chars long")
    # Go's $ is the end of the text, Python's lies before a last newline, too.
    elif "pattern" in node and not re.search(node["pattern"].replace("$", r"\Z"), value):
        yield invalid(path, value, f"{path} in body should match '{node['pattern']}'")


def _wrong_number(value: float, node: Node, path: str) -> Iterator[Cause]:
    if value < node.get("minimum", value):
        yield invalid(path, value, f"{path} in body should be greater than or equal to {node['minimum']}")
    if value > node.get("maximum", value):
        yield invalid(path, value, f"{path} in body should be less than or equal to {node['maximum']}")


def _twice(value: object, node: Node, path: str) -> Iterator[Cause]:
    """Items of a list with the keys of an earlier one."""
    for child, below, at in _children(value, node, path):
        yield from _twice(child, below, at)
    keys = node.get("x-kubernetes-list-map-keys")
    if keys and isinstance(value, list | tuple):
        seen: set[str] = set()
        for index, item in enumerate(value):
            if not isinstance(item, Mapping):
                if item is not None:
                    message = f"Invalid value: {printed(item)}: must be an object for an array of list-type map"
                    yield Cause(field=f"{path}[{index}]", message=message)
                return
            key = sorted_json({name: item[name] for name in keys if item.get(name) is not None})
            if key in seen:
                yield Cause(field=f"{path}[{index}]", message=f"Duplicate value: {key}")
            seen.add(key)


def _broken(value: object, node: Node, path: str) -> Iterator[Cause]:
    """Rules that do not hold."""
    seen = _there(value) if isinstance(value, Mapping) else int(value) if isinstance(value, float) else value
    for rule in node.get("rules", ()):
        if not rule.holds(seen):
            at = f"{path}{rule.field}"
            yield invalid(at, value, rule.message)
    for child, below, at in _children(value, node, path):
        yield from _broken(child, below, at)


def _children(value: object, node: Node, path: str) -> Iterator[tuple[Any, Node, str]]:
    match value:
        case Mapping():
            for key, child in _there(value).items():
                if (below := _child(node, key)) is not None:
                    yield child, below, _at(path, key)
        case list() | tuple() if "items" in node:
            yield from ((child, node["items"], f"{path}[{index}]") for index, child in enumerate(value))
        case _:
            pass


def _child(node: Node, key: str) -> Node | None:
    found: Node | None = node.get("properties", {}).get(key, node.get("additionalProperties"))
    return found


def _there(value: Mapping[str, Any]) -> dict[str, Any]:
    """Fields that are not null: a null is a field left out, as none of ours may be null."""
    return {key: child for key, child in value.items() if child is not None}


def _at(path: str, key: object) -> str:
    return f"{path}.{key}" if path else str(key)
