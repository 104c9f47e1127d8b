"""Nodes of the tree: JSON schema as a dict, with our rules below the key `rules`. Everything has a maximum."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from conductor.model.schema.rules import Rule

__all__ = ["Node", "amount", "flag", "free", "integer", "items", "keyed", "mapping", "record", "text", "word"]

Node = dict[str, Any]


def text(
    about: str,
    *,
    most: int,
    least: int = 1,
    pattern: str = "",
    form: str = "",
    default: str | None = None,
    rules: Sequence[Rule] = (),
) -> Node:
    """A string of bounded length; `form` is a format of OpenAPI."""
    node = _node(about, "string", minLength=least, maxLength=most, default=default, rules=tuple(rules))
    if not least:
        del node["minLength"]
    return node | ({"pattern": pattern} if pattern else {}) | ({"format": form} if form else {})


def word(about: str, words: Sequence[str], *, default: str | None = None, rules: Sequence[Rule] = ()) -> Node:
    """One of a few words."""
    node = _node(about, "string", enum=list(words), default=default, rules=tuple(rules))
    return node | {"maxLength": max(map(len, words))}


def integer(about: str, *, least: int = 0, most: int = (1 << 31) - 1, default: int | None = None) -> Node:
    """A whole number within bounds."""
    return _node(about, "integer", minimum=least, maximum=most, default=default)


def flag(about: str, *, default: bool | None = None, rules: Sequence[Rule] = ()) -> Node:
    """True or false."""
    return _node(about, "boolean", default=default, rules=tuple(rules))


def amount(
    about: str, *, pattern: str, default: str | int | None = None, rules: Sequence[Rule] = (), **bounds: int
) -> Node:
    """A whole number or a text of a form, as Kubernetes writes quantities; a fraction is text."""
    node: Node = {"description": about, "x-kubernetes-int-or-string": True, "pattern": pattern, "maxLength": 32}
    node["anyOf"] = [{"type": "integer"}, {"type": "string"}]
    return node | _given(default=default, rules=tuple(rules), **bounds)


def record(about: str, fields: Mapping[str, Node], *, required: Sequence[str] = (), rules: Sequence[Rule] = ()) -> Node:
    """An object of known fields."""
    node = _node(about, "object", rules=tuple(rules))
    return node | {"properties": dict(fields)} | ({"required": list(required)} if required else {})


def mapping(about: str, values: Node, *, most: int) -> Node:
    """An object whose keys are free; a key's length is bounded by the size of a request alone."""
    return _node(about, "object", additionalProperties=values, maxProperties=most)


def free(about: str, *, most: int) -> Node:
    """An object of any JSON."""
    return _node(about, "object", maxProperties=most) | {"x-kubernetes-preserve-unknown-fields": True}


def items(about: str, each: Node, *, most: int, least: int = 0, unique: bool = False) -> Node:
    """A list; `unique` says that no item may be there twice."""
    node = _node(about, "array", items=each, maxItems=most, minItems=least or None)
    return node | {"x-kubernetes-list-type": "set" if unique else "atomic"}


def keyed(about: str, each: Node, *, keys: Sequence[str], most: int, least: int = 0) -> Node:
    """A list of objects, no two of them with the same keys."""
    node = _node(about, "array", items=each, maxItems=most, minItems=least or None)
    return node | {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": list(keys)}


def _node(about: str, type_: str, **more: Any) -> Node:
    return {"description": about, "type": type_, **_given(**more)}


def _given(**more: Any) -> Node:
    return {key: value for key, value in more.items() if value is not None and value != ()}
