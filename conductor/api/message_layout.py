"""What a generated class looks like, as `encoding` and `decoding` need it: looked at once for each class."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, Final, TypeVar

import betterproto
from betterproto import encode_varint

__all__ = ["BYTES", "VARINTS", "Field", "Layout", "layout_of", "made", "nothing"]

T = TypeVar("T")

VARINTS: Final = frozenset({"uint32", "uint64", "int32", "int64", "bool", "enum"})
BYTES: Final = frozenset({"string", "bytes"})
_SCALARS: Final = VARINTS | BYTES | {"double"}
_ZERO: Final = {"string": "", "bytes": b"", "double": 0.0, "bool": False}


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a class."""

    name: str
    kind: str
    tag: bytes
    head: bytes
    """Tag of a delimited value: a message, or packed numbers."""
    group: str
    optional: bool
    shape: str
    """one, list or map."""
    nested: Any
    """Class of a message or enum."""
    entry: tuple[Field, Field] | None = None
    """Key and value of a map."""


@dataclass(frozen=True, slots=True)
class Layout:
    """One class. `by_tag` has its fields by number, `groups` those that exclude each other."""

    fields: tuple[Field, ...]
    by_tag: dict[int, Field]
    groups: dict[str, tuple[str, ...]]
    fresh: Callable[[], dict[str, Any]]
    """State of a message that was read and had nothing in it."""


_KNOWN: dict[Any, Layout | None] = {}
"""As many as there are generated classes."""


def layout_of(kind: Any) -> Layout | None:
    """Describe a generated class; None where it has what we do not know."""
    if kind not in _KNOWN:
        _KNOWN[kind] = _looked_over(kind)
    return _KNOWN[kind]


def made(kind: type[T], **values: Any) -> T:
    """Make a message, as its constructor does in ten times as long; of fields that exclude each other it takes none."""
    layout = layout_of(kind)
    if layout is None:
        return kind(**values)
    state = layout.fresh()
    if unknown := values.keys() - state.keys():
        raise TypeError(f"{kind.__name__} has no field {min(unknown)}")
    state.update(values)
    message = object.__new__(kind)
    object.__getattribute__(message, "__dict__").update(state)
    return message


def _looked_over(kind: Any) -> Layout | None:
    sample = kind()
    known = sample._betterproto  # noqa: SLF001 -- where the generator keeps nested classes
    found: list[Field] = []
    fillings: dict[str, Any] = {}
    for field in fields(kind):
        meta = field.metadata["betterproto"]
        default = known.default_gen[field.name]
        shape = "map" if meta.proto_type == "map" else "list" if default is list else "one"
        one = _field(field.name, meta, shape, known.cls_by_field.get(field.name))
        if one is None:
            return None
        found.append(one)
        bare = meta.group or meta.optional or (one.kind == "message" and shape == "one")
        fillings[field.name] = object.__getattribute__(sample, "__dict__")[field.name] if bare else default()
    found.sort(key=lambda one: known.meta_by_field_name[one.name].number)
    groups = {group: tuple(f.name for f in members) for group, members in known.oneof_field_by_group.items()}
    return Layout(
        tuple(found),
        {known.meta_by_field_name[f.name].number: f for f in found},
        groups,
        _filler(fillings, tuple(groups)),
    )


def _filler(fillings: dict[str, Any], groups: tuple[str, ...]) -> Callable[[], dict[str, Any]]:
    fixed = fillings | {"_serialized_on_wire": True, "_unknown_fields": b""}
    made = tuple((name, type(value)) for name, value in fillings.items() if isinstance(value, list | dict))

    def fresh() -> dict[str, Any]:
        state = dict(fixed)
        for name, kind in made:
            state[name] = kind()
        state["_group_current"] = dict.fromkeys(groups)
        return state

    return fresh


def _field(name: str, meta: Any, shape: str, nested: Any, *, number: int = 0) -> Field | None:
    kind = meta.proto_type
    entry = None
    if shape == "map":
        parts = {field.name: field for field in fields(nested)}
        kinds = nested()._betterproto.cls_by_field  # noqa: SLF001 -- as above
        pair = [
            _field(part, parts[part].metadata["betterproto"], "one", kinds.get(part), number=index)
            for index, part in enumerate(("key", "value"), 1)
        ]
        if pair[0] is None or pair[1] is None:
            return None
        entry = pair[0], pair[1]
    elif kind not in _SCALARS and (kind != "message" or not issubclass(nested, betterproto.Message) or meta.wraps):
        return None
    at = (number or meta.number) << 3
    wire = 0 if kind in VARINTS else 1 if kind == "double" else 2
    return Field(
        name,
        kind,
        encode_varint(at | wire),
        encode_varint(at | 2),
        meta.group or "",
        bool(meta.optional),
        shape,
        nested,
        entry,
    )


def nothing(field: Field) -> Any:
    """Answer the default of half a map's entry."""
    if field.kind == "message":
        return field.nested()
    return field.nested.try_value(0) if field.kind == "enum" else _ZERO.get(field.kind, 0)
