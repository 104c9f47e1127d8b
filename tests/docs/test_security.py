"""SECURITY.md: every test that it names is there, and every "cannot" names one."""

from __future__ import annotations

import ast
import re

import pytest

from tests.docs.reading import ROOT

TEXT = (ROOT / "SECURITY.md").read_text()
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", TEXT)))


def test_tests_are_named() -> None:
    assert len(NAMED) > 40


@pytest.mark.parametrize(("path", "name"), NAMED, ids=[name for _, name in NAMED])
def test_a_test_that_is_named_is_there(path: str, name: str) -> None:
    body = ast.parse((ROOT / path).read_text()).body
    assert name in {node.name for node in body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_every_cannot_is_held_by_one() -> None:
    tables = re.findall(r"^\|([^\n]*cannot[^\n]*)\| held by \|\n\|[-|]+\|\n((?:\|.*\n)+)", TEXT, re.MULTILINE)
    assert len(tables) == 7
    for head, rows in tables:
        column = [cell.strip() for cell in head.split("|")].index(
            next(cell.strip() for cell in head.split("|") if "cannot" in cell)
        )
        for row in rows.splitlines():
            cells = [cell.strip() for cell in row.strip("|").split("|")]
            if cells[column] and cells[-1] != "as for an agent":
                assert "::test_" in cells[-1], row
