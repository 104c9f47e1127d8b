"""`conductor wasm check`: strangers are named, and each mistake is a sentence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import wasmtime
from hypothesis import given
from hypothesis import strategies as st

from conductor.cli.wasm_check import findings
from conductor.wasm.sections import with_custom
from tests.sdk.conftest import Conduct

ENTRY = '(func (export "conductor_v1_tick") (param i64) (result i32) i32.const 0)'
TICK = f'{ENTRY} (memory (export "memory") 1)'


def module(body: str, *, needs: bytes | None = b'{"abi": 1}') -> bytes:
    content = bytes(wasmtime.wat2wasm(f"(module {body})"))
    return content if needs is None else with_custom(content, "conductor_v1.needs", needs)


@pytest.mark.parametrize("needs", [b'{"abi": 1}', None])
def test_a_small_module_is_fine(needs: bytes | None) -> None:
    assert findings(module(TICK, needs=needs)).problems == ()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\0asm\x0d\0\1\0", "component, not a core module"),
        (b"\x7fELF....", "ELF file"),
        (b"(module)", "WebAssembly text"),
        (b"hello", "no WebAssembly module"),
        (module(TICK)[:-3], "ends in the middle"),
        (module(f'(import "conductor_v1" "map_open" (func)) {TICK}', needs=None), "conductor wasm build"),
        (module(TICK, needs=b"{"), "no JSON"),
        (module('(memory (export "memory") 1)'), "conductor_v1_tick is missing"),
        (module(f'{TICK} (func (export "_start"))'), "-buildmode=c-shared"),
        (module(f'(import "spin" "x" (func)) {TICK}'), "Spin app"),
        (module(f'(import "env" "y" (func)) {TICK}'), "import env.y: there is no such host module"),
        (module(f'(import "env" "memory" (memory 1)) {ENTRY}'), "cannot be imported"),
        (module(f'(import "conductor_v1" "map_bach" (func)) {TICK}'), "did you mean map_batch?"),
        (
            module(f'(import "conductor_v1" "map_open" (func)) {TICK}'),
            "() -> nothing here, (i32 i32) -> i32 in the ABI",
        ),
        (module(f'{TICK} (func (export "conductor_v1_event"))'), "did you mean conductor_v1_events?"),
        (module(ENTRY), "export memory is missing"),
        (module(TICK.replace("i64", "i32")), "must be (i64) -> i32"),
    ],
)
def test_a_mistake_is_told(content: bytes, said: str) -> None:
    assert said in " | ".join(findings(content).problems)


def test_the_exit_code_and_the_document_say_the_same(conduct: Conduct, tmp_path: Path) -> None:
    good, bad = tmp_path / "good.wasm", tmp_path / "bad.wasm"
    good.write_bytes(module(TICK))
    bad.write_bytes(module(""))
    said = conduct("wasm", "check", good, "-o", "json")
    assert json.loads(said.stdout)["ok"] is True
    said = conduct("wasm", "check", bad, "-o", "json", ok=False)
    assert said.returncode == 1
    assert len(json.loads(said.stdout)["problems"]) == 2


def test_code_that_does_not_hold_together_is_told(conduct: Conduct, tmp_path: Path) -> None:
    content = module(TICK)
    assert content.count(b"\x41\x00\x0b") == 1
    (tmp_path / "bad.wasm").write_bytes(content.replace(b"\x41\x00\x0b", b"\x1a\x00\x0b"))  # drop where nothing is
    said = conduct("wasm", "check", tmp_path / "bad.wasm", ok=False)
    assert said.returncode == 1
    assert "problem:" in said.stdout


WHOLE = module(f'(import "conductor_v1" "map_open" (func (param i32 i32) (result i32))) {TICK}')


@given(st.integers(0, len(WHOLE) - 1), st.binary(min_size=1, max_size=4), st.integers(0, len(WHOLE)))
def test_no_bytes_are_too_strange_to_be_judged(at: int, bytes_: bytes, end: int) -> None:
    changed = WHOLE[:at] + bytes_ + WHOLE[at + len(bytes_) :]
    for content in (changed, changed[:end], bytes_ + changed):
        assert isinstance(findings(content).problems, tuple)
