"""docs/abi.md says what conductor/wasm/abi.py says, no more and no less."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from conductor.wasm.abi import EXPORTS, IMPORTS, ROWS_MOST, Error, Function, Level, MapKind, Operation, Type
from conductor.wasm.hostcalls.wasi import WasiCalls
from conductor.wasm.layouts import LAYOUTS
from conductor.wasm.needs import parse_needs

TEXT = (Path(__file__).parent.parent.parent / "docs/abi.md").read_text()


def row(function: Function) -> str:
    """A function as its table shows it."""
    parameters = ", ".join(name + (": i64" if kind is Type.I64 else "") for name, kind in function.parameters)
    result = " → i64" if function.result is Type.I64 else ""
    return f"| `{function.name}({parameters}){result}` | {function.text} |"


@pytest.mark.parametrize("function", [*IMPORTS, *EXPORTS], ids=lambda one: one.name)
def test_functions(function: Function) -> None:
    assert row(function) in TEXT


@pytest.mark.parametrize("kind", [Error, Operation, Level, MapKind])
def test_numbers(kind: type[Error | Operation | Level | MapKind]) -> None:
    for member in kind:
        assert re.search(rf"\| {member.value} \| `{member.name}` \|", TEXT), member


def test_layouts() -> None:
    for layout in LAYOUTS:
        assert f"`{layout.name}`, {layout.size} bytes" in TEXT
        for field in layout.fields:
            assert f"| {field.offset} | {field.size} | `{field.name}` | {field.text} |" in TEXT


def test_nothing_else_is_promised() -> None:
    promised = set(re.findall(r"^\| `(\w+)\(", TEXT, re.MULTILINE))
    assert promised == {one.name for one in (*IMPORTS, *EXPORTS)}
    assert f"{ROWS_MOST:,}" in TEXT


def test_wasi_names_what_works() -> None:
    works = {name for name in vars(WasiCalls) if not name.startswith("_")}
    told = set(re.findall(r"`(\w+)`", TEXT[TEXT.index("## WASI") : TEXT.index("## Budgets")]))
    assert works <= told


def test_the_example_of_needs_is_read() -> None:
    example = re.search(r"```json\n(.*?)```", TEXT, re.DOTALL)
    assert example is not None
    needs = parse_needs(example[1].encode())
    assert [need.name for need in needs.maps] == ["counts", "events", "refused"]
    assert needs.losses == {"events": "refused"}
