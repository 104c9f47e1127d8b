"""Manifests at the door: YAML in, wishes out, and what an apply would change as a diff."""

from __future__ import annotations

import difflib

import yaml

from conductor.api.documents import Document, documents, read
from conductor.errors import InvalidSpec
from conductor.model.agent import Applied, Change
from conductor.model.ids import Name, parse_name
from conductor.model.manifest import KERNEL_PROGRAM, USER_PROGRAM, kind_of, manifest_of, parse_manifest
from conductor.model.program import ProgramSpec

__all__ = ["change_of", "documents", "keys_of", "specs_of"]


def specs_of(text: str) -> tuple[ProgramSpec, ...]:
    """Parse a manifest to wishes. Raises `InvalidSpec` with line and field."""
    found: dict[tuple[str, Name], ProgramSpec] = {}
    for document in _documents(text):
        try:
            spec = parse_manifest(document.value)
        except InvalidSpec as error:
            raise _with_line(document, error.field, error.problem) from None
        if (kind_of(spec), spec.name) in found:
            raise _with_line(document, "metadata.name", f"{kind_of(spec)} {spec.name} is there twice")
        found[kind_of(spec), spec.name] = spec
    return tuple(found.values())


def keys_of(text: str) -> tuple[tuple[str, Name], ...]:
    """Read kind and name of each document; the rest need not make sense to be deleted. Raises `InvalidSpec`."""
    return tuple(dict.fromkeys(_key_of(document) for document in _documents(text)))


def change_of(applied: Applied) -> Change:
    """Tell what was done to one wish, with a unified diff."""
    lines = difflib.unified_diff(
        _yaml(applied.old), _yaml(applied.new), f"{applied.kind}/{applied.name}", f"{applied.kind}/{applied.name} (new)"
    )
    return Change(kind=applied.kind, name=applied.name, action=applied.action, diff="".join(lines))


def _documents(text: str) -> list[Document]:
    found = read(text)
    if not found:
        raise InvalidSpec("manifest", f"holds no document: a {KERNEL_PROGRAM} or {USER_PROGRAM} was expected")
    return found


def _key_of(document: Document) -> tuple[str, Name]:
    kind, head = document.value.get("kind"), document.value.get("metadata")
    if kind not in (KERNEL_PROGRAM, USER_PROGRAM):
        raise _with_line(document, "kind", f"must be {KERNEL_PROGRAM} or {USER_PROGRAM}")
    try:
        return str(kind), parse_name(head.get("name") if isinstance(head, dict) else None, "metadata.name")
    except InvalidSpec as error:
        raise _with_line(document, error.field, error.problem) from None


def _with_line(document: Document, field: str, problem: str) -> InvalidSpec:
    return InvalidSpec(f"line {document.line_of(field)}: {field}", problem)


def _yaml(spec: ProgramSpec | None) -> list[str]:
    if spec is None:
        return []
    text: str = yaml.safe_dump(manifest_of(spec), sort_keys=False, allow_unicode=True)
    return text.splitlines(keepends=True)
