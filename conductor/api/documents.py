"""YAML documents from people nobody knows: bounded in size, depth and aliases, each field with its line."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml
from typing_extensions import override
from yaml.constructor import ConstructorError
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from conductor.errors import InvalidSpec

__all__ = ["MAX_TEXT", "Document", "documents", "read"]

MAX_TEXT = 256 << 10
"""Bytes of a manifest; a megabyte would take the parser seconds."""
MAX_DOCUMENTS = 256
MAX_DEPTH = 40
MAX_NODES = 50_000
"""Values of a document once every alias is written out."""


@dataclass(frozen=True, slots=True)
class Document:
    """One document and the line on which each of its fields begins."""

    value: dict[str, Any]
    lines: Mapping[str, int]

    def line_of(self, field: str) -> int:
        """Line of a field, or of the nearest one around it that is there."""
        while field and field not in self.lines:
            field = field[: max(field.rfind("."), field.rfind("["), 0)]
        return self.lines.get(field, 1)


def documents(text: str) -> list[dict[str, Any]]:
    """Read all documents, empty ones left out. Raises `InvalidSpec` with the line."""
    return [document.value for document in read(text)]


def read(text: str) -> list[Document]:
    """Read all documents with their lines. Raises `InvalidSpec`."""
    if len(text.encode()) > MAX_TEXT:
        raise InvalidSpec("manifest", f"longer than {MAX_TEXT >> 10} KiB: apply it in parts")
    try:
        return list(_read(text))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}" if mark else "manifest"
        raise InvalidSpec(where, f"no YAML: {error.problem or error.context}") from None
    except yaml.YAMLError as error:
        raise InvalidSpec("manifest", f"no YAML: {str(error).splitlines()[0][:200]}") from None
    except RecursionError:
        raise InvalidSpec("manifest", f"nested deeper than {MAX_DEPTH}") from None
    except (ValueError, OverflowError) as error:  # numbers that YAML's types cannot hold
        raise InvalidSpec("manifest", f"a value cannot be read: {str(error)[:200]}") from None


def _read(text: str) -> Iterator[Document]:
    loader = _Loader(text)
    try:
        for _ in range(MAX_DOCUMENTS):
            node = loader.get_node() if loader.check_node() else None
            if node is None:
                return
            lines: dict[str, int] = {}
            _Measure(lines).walk(node, "", 0)
            value = loader.construct_document(node)
            if isinstance(value, dict):
                yield Document(value, lines)
            elif value is not None:
                raise InvalidSpec(
                    f"line {node.start_mark.line + 1}", "a manifest is a mapping with apiVersion and kind"
                )
        if loader.check_node():
            raise InvalidSpec("manifest", f"more than {MAX_DOCUMENTS} documents: apply them in parts")
    finally:
        loader.dispose()


class _Loader(yaml.SafeLoader):
    """JSON's types; a key given twice is refused, for only one of the two would count. A date is text, as for kubectl."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - PyYAML reads it so
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    @override
    def construct_mapping(self, node: MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, ScalarNode):
                if key.value in seen:
                    raise ConstructorError(None, None, f"{key.value[:80]!r} is given twice", key.start_mark)
                seen.add(key.value)
        return super().construct_mapping(node, deep=deep)


class _Measure:
    """Walk a document as it will be once every alias is written out; note lines, refuse what is beyond reason."""

    def __init__(self, lines: dict[str, int]) -> None:
        self._lines, self._nodes = lines, 0

    def walk(self, node: Node, path: str, depth: int) -> None:
        self._nodes += 1
        if depth > MAX_DEPTH or self._nodes > MAX_NODES:
            bound = f"nested deeper than {MAX_DEPTH}" if depth > MAX_DEPTH else f"more than {MAX_NODES} values"
            raise InvalidSpec(f"line {node.start_mark.line + 1}", f"{bound}, aliases written out")
        self._lines.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, SequenceNode):
            for index, item in enumerate(node.value):
                self.walk(item, f"{path}[{index}]", depth + 1)
        elif isinstance(node, MappingNode):
            for key, value in node.value:
                name = key.value if isinstance(key, ScalarNode) else "?"
                self._lines.setdefault(f"{path}.{name}".lstrip("."), key.start_mark.line + 1)
                self.walk(value, f"{path}.{name}".lstrip("."), depth + 1)
