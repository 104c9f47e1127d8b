"""The reference of manifests, drawn from the schema."""

from __future__ import annotations

from collections.abc import Iterator

from conductor.model.schema.kinds import KERNEL_PROGRAM, NODE_STATE, USER_PROGRAM, Kind
from conductor.model.schema.tree import Node

__all__ = ["kernel_program", "node_state", "user_program"]


def kernel_program() -> Iterator[str]:
    """A table of a KernelProgram's fields."""
    yield from _table(KERNEL_PROGRAM)


def user_program() -> Iterator[str]:
    """A table of a UserProgram's fields."""
    yield from _table(USER_PROGRAM)


def node_state() -> Iterator[str]:
    """A table of a NodeState's fields."""
    yield from _table(NODE_STATE)


def _table(kind: Kind) -> Iterator[str]:
    yield "| field | what it takes | meaning |"
    yield "|---|---|---|"
    for part, node in (("spec", kind.spec), ("status", kind.status)):
        yield from _rows(node, part, required=part in kind.required)


def _rows(node: Node, path: str, *, required: bool) -> Iterator[str]:
    takes = _takes(node) + (", required" if required else "")
    rules = "".join(f" Rule: {rule.message}." for rule in node.get("rules", ()))
    yield f"| `{path}` | {takes} | {_cell(node['description'] + rules)} |"
    inner, at = (node["items"], f"{path}[]") if "items" in node else (node, path)
    for name, child in inner.get("properties", {}).items():
        yield from _rows(child, f"{at}.{name}", required=name in inner.get("required", ()))


def _takes(node: Node) -> str:
    """Type, bounds and default in a few words."""
    told = _shape(node)
    if "default" in node:
        told += f"; default {_shown(node['default'])}"
    return _cell(told)


def _shape(node: Node) -> str:
    if "enum" in node:
        return " or ".join(_shown(word) for word in node["enum"])
    if "x-kubernetes-int-or-string" in node:
        return "whole number or text"
    match node["type"]:
        case "string":
            return f"text of at most {node['maxLength']}"
        case "integer":
            return f"{node['minimum']} to {node['maximum']}"
        case "boolean":
            return "true or false"
        case "array":
            what = "objects" if "properties" in node["items"] else _shape(node["items"])
            keys = node.get("x-kubernetes-list-map-keys")
            least = f"{node['minItems']} to " if "minItems" in node else "up to "
            return f"list of {least}{node['maxItems']}: {what}" + (f", by {' and '.join(keys)}" if keys else "")
        case _ if "additionalProperties" in node:
            return f"map of up to {node['maxProperties']}: {_shape(node['additionalProperties'])}"
        case _ if "maxProperties" in node:
            return f"any JSON object of up to {node['maxProperties']} keys"
        case _:
            return "object"


def _shown(value: object) -> str:
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
