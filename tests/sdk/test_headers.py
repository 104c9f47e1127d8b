"""The SDKs say what conductor/wasm/abi.py says: every import with its types, every error, every constant."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from conductor.cli.wasm_check import signature_of
from conductor.cli.wasm_project import Language, sdk_folder
from conductor.cli.wasm_shape import shape_of
from conductor.cli.wasm_tools import missing
from conductor.wasm.abi import EXPORTS, IMPORTS, ROWS_MOST, Error, Level, MapKind, Operation, Type
from conductor.wasm.layouts import LAYOUTS

SDK = sdk_folder()
C = (SDK / "c/conductor.h").read_text()
RUST = "".join(path.read_text() for path in sorted((SDK / "rust/conductor/src").glob("*.rs")))
GO = "".join(path.read_text() for path in sorted((SDK / "go/conductor").glob("*.go")))
ASSEMBLYSCRIPT = (SDK / "assemblyscript/conductor.ts").read_text()
Signatures = dict[str, tuple[tuple[Type, ...], Type]]
ABI: Signatures = {one.name: (tuple(type_ for _, type_ in one.parameters), one.result) for one in IMPORTS}


def width(word: str) -> Type:
    return Type.I64 if "64" in word and "*" not in word else Type.I32


def parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip() and part.strip() != "void"]


def of_c() -> Signatures:
    found = re.findall(r"CONDUCTOR_IMPORT\((\w+)\)\s+(\w+) conductor_\w+\(([^)]*)\);", C)
    return {name: (tuple(width(part) for part in parts(given)), width(result)) for name, result, given in found}


def of_rust() -> Signatures:
    found = re.findall(r"pub fn (\w+)\(([^)]*)\)\s*-> (\w+);", RUST)
    return {name: (tuple(width(part) for part in parts(given)), width(result)) for name, given, result in found}


def of_go() -> Signatures:
    """`a, b uint32` gives a type to both."""
    found = re.findall(r"//go:wasmimport conductor_v1 (\w+)\nfunc \w+\(([^)]*)\) (\w+)", GO)
    answer: Signatures = {}
    for name, given, result in found:
        types: list[Type] = []
        for part in reversed(parts(given)):
            _, _, word = part.partition(" ")
            types.append(width(word) if word else types[-1])
        answer[name] = (tuple(reversed(types)), width(result))
    return answer


def of_assemblyscript() -> Signatures:
    found = re.findall(
        r'@external\("conductor_v1", "(\w+)"\)\s+export declare function \w+\(([^)]*)\): (\w+);', ASSEMBLYSCRIPT
    )
    return {name: (tuple(width(part) for part in parts(given)), width(result)) for name, given, result in found}


@pytest.mark.parametrize("read", [of_c, of_rust, of_go, of_assemblyscript])
def test_every_import_is_there_with_its_types(read: object) -> None:
    assert callable(read)
    assert read() == ABI


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        (C, r"CONDUCTOR_{upper} = {value},"),
        (RUST, r"    {camel} = {value},"),
        (GO, r"\t{camel} +Error = {value} "),
        (ASSEMBLYSCRIPT, r"  {upper} = {value},"),
    ],
    ids=["c", "rust", "go", "assemblyscript"],
)
def test_every_error_has_its_number(text: str, pattern: str) -> None:
    for error in Error:
        camel = error.name.title().replace("_", "")
        assert re.search(pattern.format(upper=error.name, camel=camel, value=error.value), text), error


def test_every_constant_of_the_header_has_its_number() -> None:
    wanted = [(f"CONDUCTOR_{one.name}", one.value) for kinds in (Operation, Level) for one in kinds]
    wanted += [(f"CONDUCTOR_MAP_{kind.name}", kind.value) for kind in MapKind]
    for name, value in wanted:
        assert re.search(rf"{name} = {value}\b", C), name
    assert f"#define CONDUCTOR_ROWS_MOST {ROWS_MOST} " in C


@pytest.mark.parametrize("text", [C, RUST, GO, ASSEMBLYSCRIPT], ids=["c", "rust", "go", "assemblyscript"])
def test_operations_and_levels_come_in_the_order_of_their_numbers(text: str) -> None:
    for names in (Operation, Level):
        words = [one.name for one in names]
        if text is GO:  # iota, in Go's own words
            words = ["opSet", "opAdd", "opObserve"] if names is Operation else ["Debug", "Info", "Warning", "Failure"]
            pattern = rf"{words[0]} \w+ = iota\n" + "".join(rf"\t{word}\n" for word in words[1:])
        else:
            pattern = r"[^}}]*?".join(rf"(?i:\b(?:conductor_)?{word}) = {i}," for i, word in enumerate(words[:-1]))
        assert re.search(pattern, text), words


def test_structures_have_the_fields_of_the_layouts_in_their_order() -> None:
    for layout in LAYOUTS:
        body = re.search(rf"struct conductor_{layout.name} {{(.*?)}};", C, re.DOTALL)
        assert body is not None, layout.name
        assert re.findall(r"uint32_t (\w+);", body[1]) == [field.name for field in layout.fields]
        assert [field.offset for field in layout.fields] == [4 * i for i in range(len(layout.fields))]
        assert f"sizeof(struct conductor_{layout.name}) == {layout.size}" in C


@pytest.mark.parametrize("text", [RUST, GO], ids=["rust", "go"])
def test_the_sdk_defines_every_export(text: str) -> None:
    for export in EXPORTS:
        if export.name != "_initialize":
            assert re.search(rf"(fn|wasmexport) {export.name}\b", text), export.name


def test_the_header_has_a_macro_for_every_export() -> None:
    for export in EXPORTS:
        if export.name != "_initialize":
            assert f"CONDUCTOR_EXPORT({export.name.removeprefix('conductor_v1_')})" in C.replace("\\\n", ""), (
                export.name
            )


CALLS_EVERYTHING = """
#include "conductor.h"
CONDUCTOR_START() { return conductor_series(conductor_metric("{}")); }
CONDUCTOR_TICK(now)
{
	char buffer[64];
	const void *data;
	uint32_t length;
	struct conductor_rows rows = CONDUCTOR_ROWS(buffer);
	conductor_row_number(&rows, (uint64_t)now);
	conductor_row_chars(&rows, "x", 1);
	conductor_say(CONDUCTOR_INFO, "hello");
	conductor_next(buffer, 8, 0, &data, &length);
	return conductor_config_number("x", 1) > 0;
}
CONDUCTOR_EVENTS(stream, buffer, size, records) { return buffer[size - 1]; }
CONDUCTOR_SAVE() { return 0; }
CONDUCTOR_HEALTHY() { return 1; }
__attribute__((used)) void *imports[] = {%s};
"""


@pytest.mark.parametrize("language", ["c11", "c++17"])
def test_the_header_alone_is_enough_for_strict_compilers(tmp_path: Path, language: str) -> None:
    if lacks := missing(Language.C, kernel_half=False):
        pytest.skip(f"needs the Debian packages {', '.join(lacks.values())}")
    source = tmp_path / f"all.{'c' if language == 'c11' else 'cc'}"
    source.write_text(CALLS_EVERYTHING % ", ".join(f"(void *)conductor_{one.name}" for one in IMPORTS))
    flags = ("--target=wasm32", "-ffreestanding", "-nostdlib", "-Wl,--no-entry", f"-std={language}", "-Werror", "-Wall")
    built = tmp_path / "all.wasm"
    command = ["clang", *flags, "-Wextra", f"-I{SDK / 'c'}", "-o", str(built), str(source)]
    subprocess.run(command, check=True)
    found = shape_of(built.read_bytes())
    assert {one.name: one.signature for one in found.imports} == {one.name: signature_of(one) for one in IMPORTS}
    exported = {one.name: one.signature for one in found.exports}
    ours = [one for one in EXPORTS if one.name != "_initialize"]
    assert {one.name: exported[one.name] for one in ours} == {one.name: signature_of(one) for one in ours}
