"""`conductor wasm check`: what an agent would say of a module, before it is asked."""

from __future__ import annotations

import asyncio
import difflib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click

from conductor.cli.output import write
from conductor.cli.wasm_shape import Export, Import, Shape, shape_of
from conductor.errors import ConductorError, ObjectUnreadable
from conductor.wasm.abi import EXPORTS, IMPORTS, MODULE, NEEDS_SECTION, VERSION, Function, Type
from conductor.wasm.anatomy import examine
from conductor.wasm.compiler import Compiler
from conductor.wasm.needs import Needs, needs_text, parse_needs
from conductor.wasm.sections import is_component, is_wasm, sections
from conductor.wasm.settings import MODULE_BYTES

__all__ = ["Findings", "check", "findings", "signature_of"]

_WASI = "wasi_snapshot_preview1"
_REACTOR = (
    "build a reactor: Go with -buildmode=c-shared, C with -mexec-model=reactor, Rust as a cdylib; "
    "conductor wasm build does"
)
_SPIN = ("spin", "fermyon", "wasi-http", "wasi-outbound", "key-value", "outbound", "inbound")


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What was found in a module; without problems an agent takes it."""

    size: int
    shape: Shape | None = None
    needs: Needs | None = None
    problems: tuple[str, ...] = ()


@click.command(epilog="\b\nExamples:\n  conductor wasm check counter.wasm\n  conductor wasm check counter.wasm -o json")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("-o", "--output", "form", type=click.Choice(["table", "json"]), default="table", help="Form of output.")
def check(file: Path, *, form: Any) -> int:
    """Look at a module as an agent would, and compile it: ABI, imports, exports, needs, size.

    Leaves with 1 where it would be refused.
    """
    try:
        content = file.read_bytes()
    except OSError as exc:
        raise ObjectUnreadable(f"{file}: {exc.strerror}") from exc
    found = findings(content)
    if not found.problems:
        found = replace(found, problems=_compiled(content))
    if form == "json":
        write(_document(file, found), form)
    else:
        click.echo("\n".join(_lines(file, found)))
    return 1 if found.problems else 0


def findings(content: bytes) -> Findings:
    """Examine a module; every problem is one sentence."""
    size = len(content)
    if stranger := _stranger(content):
        return Findings(size=size, problems=(stranger,))
    try:
        shape = shape_of(content)
    except ObjectUnreadable as exc:
        return Findings(size=size, problems=(str(exc),))
    needs, problem = _needs(content, shape.imports)
    problems = [*_of_size(size), *_of_world(shape), *_of_imports(shape.imports), *_of_exports(shape), *problem]
    return Findings(size=size, shape=shape, needs=needs, problems=tuple(problems or _of_host(content)))


def signature_of(function: Function) -> str:
    """Signature of an import or export of the ABI, as shapes spell it."""
    words = {Type.I32: "i32", Type.I64: "i64"}
    return f"({' '.join(words[type_] for _, type_ in function.parameters)}) -> {words[function.result]}"


def _stranger(content: bytes) -> str:
    if is_component(content):
        return (
            "this is a component, not a core module; leave the component step out (cargo component, wit-bindgen, "
            "jco, spin build) and compile for wasm32-unknown-unknown or as a WASI preview 1 reactor"
        )
    if content[:4] == b"\x7fELF":
        return "this is an ELF file (a kernel half?), not a WebAssembly module"
    if content.lstrip()[:7] == b"(module":
        return "this is WebAssembly text; turn it into binary first (wat2wasm)"
    if not is_wasm(content):
        return "this is no WebAssembly module"
    return ""


def _needs(content: bytes, imports: Iterable[Import]) -> tuple[Needs | None, tuple[str, ...]]:
    try:
        found = [section.content for section in sections(content) if section.name == NEEDS_SECTION]
        if not found and any(one.name in ("map_open", "stream_open") for one in imports):
            said = f"it opens maps, and the custom section {NEEDS_SECTION} that names them is missing; conductor wasm build"
            return None, (f"{said} writes it from needs.json",)
        if not found:
            return Needs(), ()
        if len(found) > 1:
            return None, (f"the custom section {NEEDS_SECTION} is there {len(found)} times",)
        return parse_needs(found[0]), ()
    except ConductorError as exc:
        return None, (str(exc),)


def _of_host(content: bytes) -> Iterator[str]:
    """What the agent's own look at a module finds beyond the above: bounds of functions, locals, types."""
    try:
        examine(content)
    except ConductorError as exc:
        yield str(exc)


def _compiled(content: bytes) -> tuple[str, ...]:
    """Compile as an agent does, in a child with limits: invalid code and what takes too long show there alone."""
    try:
        asyncio.run(Compiler().compile(content))
    except ConductorError as exc:
        return (str(exc),)
    return ()


def _of_size(size: int) -> Iterator[str]:
    if size > MODULE_BYTES:
        yield f"{size} bytes; agents take at most {MODULE_BYTES}"


def _of_world(shape: Shape) -> Iterator[str]:
    """Programs that were made for another host, told by what they say of themselves."""
    exported = {export.name for export in shape.exports}
    modules = {one.module for one in shape.imports}
    if "_start" in exported:
        yield f"this is a command (exports _start: it runs once and ends); {_REACTOR}"
    if any(name.startswith(_SPIN) for name in modules) or {"handle-http-request", "spin-http"} & exported:
        yield "this is a Spin app: its triggers and host interfaces are not here; write it against the SDK of your language"
    if any(name.startswith("component-type:") for name in shape.customs):
        yield "this module was made to become a component; compile it without wit-bindgen, as a core module"


def _of_imports(imports: Iterable[Import]) -> Iterator[str]:
    known = {function.name: signature_of(function) for function in IMPORTS}
    for one in imports:
        whole = f"{one.module}.{one.name}"
        if one.kind != "function":
            yield f"import {whole}: a {one.kind} cannot be imported; let the module define it itself"
        elif one.module == MODULE and one.name not in known:
            near = difflib.get_close_matches(one.name, known, n=1)
            yield f"import {whole}: the ABI has no such function{f'; did you mean {near[0]}?' if near else ''}"
        elif one.module == MODULE and one.signature != known[one.name]:
            yield f"import {whole}: is {one.signature} here, {known[one.name]} in the ABI; take the SDK of this version"
        elif one.module not in (MODULE, _WASI):
            yield f"import {whole}: there is no such host module; {MODULE} and {_WASI} are all there is"


def _of_exports(shape: Shape) -> Iterator[str]:
    exported: dict[str, Export] = {export.name: export for export in shape.exports}
    for function in EXPORTS:
        found = exported.get(function.name)
        if found is None:
            if function.required:
                yield f"export {function.name} is missing; it is what runs every interval"
        elif function.name != "_initialize" and found.signature != signature_of(function):
            yield f"export {function.name}: is {found.signature or found.kind}, must be {signature_of(function)}"
    known = {function.name for function in EXPORTS}
    for name in exported:
        if name.startswith(f"{MODULE}_") and name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            yield f"export {name}: nobody calls it{f'; did you mean {near[0]}?' if near else ''}"
    if exported.get("memory", Export("", "")).kind != "memory":
        yield "export memory is missing: the host could not reach the program's data"


def _document(file: Path, found: Findings) -> dict[str, Any]:
    shape = found.shape or Shape((), (), ())
    return {
        "file": str(file),
        "size": found.size,
        "abi": VERSION,
        "ok": not found.problems,
        "problems": list(found.problems),
        "needs": json.loads(needs_text(found.needs)) if found.needs else None,
        "imports": [f"{one.module}.{one.name}" for one in shape.imports],
        "exports": [one.name for one in shape.exports],
    }


def _lines(file: Path, found: Findings) -> Iterator[str]:
    verdict = "would be refused" if found.problems else "fine"
    yield f"{file}: {verdict}, {found.size} bytes, ABI {MODULE}"
    for problem in found.problems:
        yield f"  problem: {problem}"
    if found.needs:
        for need in found.needs.maps:
            yield f"  needs map {need.name}: {need.type.value}, {need.key_size} + {need.value_size} bytes, {need.access.word}"
        for key, rule in found.needs.config_schema.get("properties", {}).items():
            told = rule if isinstance(rule, dict) else {}
            yield f"  setting {key}: {told.get('type', 'any')}, default {json.dumps(told.get('default'))}"
    if found.shape:
        ours = sorted(one.name for one in found.shape.imports if one.module == MODULE)
        wasi = sorted(one.name for one in found.shape.imports if one.module == _WASI)
        yield f"  imports: {', '.join(ours) or 'none'}" + (f"; WASI: {', '.join(wasi)}" if wasi else "")
        yield f"  exports: {', '.join(one.name for one in found.shape.exports)}"
