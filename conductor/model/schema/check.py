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

_BASE64 = re.compile(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{4})")


def causes_of(document: Mapping[str, Any], kind: Kind) -> tuple[Cause, ...]:
    """Everything for which the API server refuses this document as a new object of this kind.

    What cannot be decoded hides the rest; unknown fields hide what else is wrong; rules between fields are looked at
    where every field by itself is of its type and within its bounds.
    """
    root = kind.root
    for stage in (decoding_causes(document.get("metadata")), _unknown(document, root, "", top=True)):
        if causes := tuple(stage):
            return causes
    asked = {key: value for key, value in document.items() if key != "status"}  # it is not the writer's to say
    causes = (*metadata_causes(document.get("metadata")), *_wrong(asked, root, ""), *_twice(asked, root, ""))
    if any(cause.weight is Weight.BLOCKING for cause in causes):
        return causes
    return (*causes, *_broken(asked, root, ""))


def _unknown(value: object, node: Node, path: str, *, top: bool = False) -> Iterator[Cause]:
    """Fields that no node knows."""
    match value:
        case Mapping() if "properties" in node:
            known = {**node["properties"], "apiVersion": {}, "kind": {}} if top else node["properties"]
            for key, child in value.items():
                at = f"{path}.{key}".lstrip(".")
                if top and key == "metadata":
                    yield from (
                        _unknown_at(f"metadata.{name}", name, FIELDS) for name in child or () if name not in FIELDS
                    )
                elif key in known:
                    yield from _unknown(child, known[key], at)
                else:
                    yield _unknown_at(at, key, known)
        case Mapping() if "additionalProperties" in node:
            for key, child in value.items():
                yield from _unknown(child, node["additionalProperties"], f"{path}.{key}")
        case list() | tuple() if "items" in node:
            for index, child in enumerate(value):
                yield from _unknown(child, node["items"], f"{path}[{index}]")
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
            return
    elif found != node.get("type", found):
        yield wrong_type(path, node["type"], value)
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
    if len(value) < node.get("minLength", 0):
        yield invalid(path, value, f"{path} in body should be at least {node['minLength']} chars long")
    # Go's $ is the end of the text, Python's lies before a last newline, too.
    if "pattern" in node and not re.search(node["pattern"].replace("$", r"\Z"), value):
        yield invalid(path, value, f"{path} in body should match '{node['pattern']}'")
    if node.get("format") == "byte" and not _BASE64.fullmatch(value):
        message = invalid(path, value, "").message
        told = message.removeprefix("Invalid value: ").removesuffix(": ")
        message = f"Invalid value: {told}: {path} in body must be of type byte: {told}"
        yield Cause(field=path, message=message, weight=Weight.BLOCKING)


def _wrong_number(value: int, node: Node, path: str) -> Iterator[Cause]:
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
                    yield invalid(f"{path}[{index}]", item, "must be an object for an array of list-type map")
                continue
            key = sorted_json({name: item[name] for name in keys if name in item})
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
