"""The CRDs of the chart are those of the schema, and the schema keeps what the API server's cost budget demands."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from conductor.model.schema.kinds import KINDS, Kind, definition
from tests.charts.written import CRDS, path_of, text_of

KINDS_ALL = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)


def nodes(node: dict[str, Any], at: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every node of a printed schema with its path."""
    yield at, node
    for name, child in node.get("properties", {}).items():
        yield from nodes(child, f"{at}.{name}")
    for key in ("items", "additionalProperties"):
        if key in node:
            yield from nodes(node[key], f"{at}[]")


def schema(kind: Kind) -> dict[str, Any]:
    root: dict[str, Any] = definition(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return root


@KINDS_ALL
def test_the_file_in_the_chart_is_not_stale(kind: Kind) -> None:
    assert path_of(kind).read_text() == text_of(kind), "run nox -s crds"
    assert yaml.safe_load(path_of(kind).read_text()) == definition(kind)


def test_there_is_no_other_file() -> None:
    assert {path.name for path in CRDS.iterdir()} == {path_of(kind).name for kind in KINDS.values()}


@KINDS_ALL
def test_everything_has_a_maximum(kind: Kind) -> None:
    bounds = {"string": "maxLength", "array": "maxItems", "integer": "maximum"}
    for at, node in nodes(schema(kind)):
        if bound := bounds.get(node.get("type", "string")):
            assert bound in node, f"{at} has no {bound}"
        if "additionalProperties" in node or "x-kubernetes-preserve-unknown-fields" in node:
            assert "maxProperties" in node, f"{at} has no maxProperties"


@KINDS_ALL
def test_every_field_has_a_description(kind: Kind) -> None:
    for at, node in nodes(schema(kind)):
        if at and not at.startswith(".metadata"):
            assert node["description"].endswith("."), f"{at}: {node.get('description')!r} is no sentence"


@KINDS_ALL
def test_every_rule_has_a_sentence_and_names_a_field_that_is_there(kind: Kind) -> None:
    for at, node in nodes(schema(kind)):
        for rule in node.get("x-kubernetes-validations", ()):
            assert rule["message"], at
            assert rule.get("fieldPath", ".").removeprefix(".") in {"", *node.get("properties", {})}, at


@KINDS_ALL
def test_every_pattern_is_whole(kind: Kind) -> None:
    """A pattern of JSON schema matches anywhere; ours say where they begin and end, and read alike in RE2 and Python."""
    for at, node in nodes(schema(kind)):
        pattern = node.get("pattern", "^$")
        assert pattern.startswith("^"), at
        assert pattern.endswith("$"), at
        assert "$" not in pattern[:-1], at
        assert r"\d" not in pattern, at
        assert "(?" not in pattern, at
