"""`conductor wasm build`: run the language's own tool, then put what the program needs into the module."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import click

from conductor.cli.output import note, write
from conductor.cli.wasm_check import findings
from conductor.cli.wasm_project import Language, Project, sdk_folder
from conductor.cli.wasm_tools import INCLUDES, needed, run
from conductor.errors import BuildFailed, InvalidSpec
from conductor.wasm.abi import NEEDS_SECTION, VERSION
from conductor.wasm.needs import parse_needs
from conductor.wasm.sections import with_custom

__all__ = ["build", "build_project"]

_C_STACK, _RUST_STACK = 67 << 10, 259 << 10
"""Bytes. The stack lies below the data, so that overrunning it traps; and it ends 3 KiB into a page of 4 KiB, so that a small
program's stack and data share that page: each page that is written counts once for every instance."""
_AS_STACK = 53 << 10
"""Heap and stack of a small program then share the last pages of its first 64 KiB, where the allocator writes anyway."""


@click.command(epilog="\b\nExamples:\n  conductor wasm build\n  conductor wasm build ./counter")
@click.argument("folder", metavar="[DIR]", default=".", type=click.Path(path_type=Path))
@click.option("-o", "--output", "form", type=click.Choice(["table", "json"]), default="table", help="Form of output.")
def build(folder: Path, *, form: Any) -> None:
    """Compile the program in DIR to DIR/NAME.wasm and DIR/NAME.bpf.o.

    Runs the compiler of that language and shows the command. needs.json goes into the module; types and sizes that it
    leaves out are taken from the kernel half.
    """
    project = Project.of(folder)
    made = build_project(project)
    if form == "json":
        write({"name": project.name, "language": project.language.value, "files": [str(path) for path in made]}, form)
    else:
        click.echo("".join(f"{path}  {path.stat().st_size} bytes\n" for path in made), nl=False)


def build_project(project: Project) -> tuple[Path, ...]:
    """Build both halves; answers what was made. Raises `ToolMissing`, `BuildFailed`, `InvalidSpec`."""
    has_kernel_half = project.kernel_source.is_file()
    needed(project.language, kernel_half=has_kernel_half)
    if has_kernel_half:
        _build_kernel_half(project)
    module = _compiled(project)
    content = with_custom(module.read_bytes(), NEEDS_SECTION, _needs_text(project))
    _replace(project.module, content)
    problems = findings(content).problems
    if problems:
        for problem in problems:
            note(f"conductor: {project.module}: {problem}")
        raise BuildFailed(f"{project.module} was built, but no agent would take it; the lines above say why")
    return (project.module, project.kernel_object) if has_kernel_half else (project.module,)


def _build_kernel_half(project: Project) -> None:
    flags = ("-O2", "-g", "-target", "bpf", "-mcpu=v3", "-Wall")
    command = ("clang", *flags, *INCLUDES, "-c", project.kernel_source.name, "-o", project.kernel_object.name)
    run(command, within=project.folder)


def _compiled(project: Project) -> Path:
    match project.language:
        case Language.C:
            return _c(project)
        case Language.RUST:
            return _rust(project)
        case Language.GO:
            return _go(project)
        case Language.ASSEMBLYSCRIPT:
            return _assemblyscript(project)


def _c(project: Project) -> Path:
    header = "." if (project.folder / "conductor.h").is_file() else str(sdk_folder() / "c")
    flags = ("--target=wasm32-wasi", "--sysroot=/usr", "-mexec-model=reactor", "-O2", "-Wall", f"-I{header}")
    layout = ("-Wl,--stack-first", f"-Wl,-z,stack-size={_C_STACK}")
    sources = sorted(path.name for path in project.folder.glob("*.c") if not path.name.endswith(".bpf.c"))
    run(("clang", *flags, *layout, "-o", project.module.name, *sources), within=project.folder)
    return project.module


def _rust(project: Project) -> Path:
    target = "wasm32-unknown-unknown"
    command = ("cargo", "build", "--quiet", "--release", "--target", target, "--target-dir", "target")
    layout = {"CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS": f"-Clink-arg=-zstack-size={_RUST_STACK}"}
    run(command, within=project.folder, env=layout)
    made = sorted(
        (project.folder / "target" / target / "release").glob("*.wasm"), key=lambda path: path.stat().st_mtime
    )
    if not made:
        raise BuildFailed('cargo made no .wasm file; Cargo.toml needs [lib] crate-type = ["cdylib"]')
    return made[-1]


def _go(project: Project) -> Path:
    command = ("go", "build", "-buildmode=c-shared", "-trimpath", "-ldflags=-w", "-o", project.module.name, ".")
    run(command, within=project.folder, env={"GOOS": "wasip1", "GOARCH": "wasm", "GOTOOLCHAIN": "local"})
    return project.module


def _assemblyscript(project: Project) -> Path:
    compiler = project.folder / "node_modules" / "assemblyscript" / "bin" / "asc.js"
    if not compiler.is_file():
        is_locked = (project.folder / "package-lock.json").is_file()
        run(("npm", "ci" if is_locked else "install", "--no-audit", "--no-fund"), within=project.folder)
    flags = ("-O", "--runtime", "incremental", "--use", "abort=conductor/abort", "--stackSize", str(_AS_STACK))
    tool = ("node", "node_modules/assemblyscript/bin/asc.js")
    run((*tool, "index.ts", *flags, "--outFile", project.module.name), within=project.folder)
    return project.module


def _needs_text(project: Project) -> bytes:
    """`needs.json` with types and sizes filled in, checked by the rule that the agent uses."""
    document = {"abi": VERSION, **project.needs, "name": project.name}
    if isinstance(document.get("maps"), list):
        declared = _declared_maps(project.kernel_object)
        document["maps"] = [_filled(i, need, declared) for i, need in enumerate(document["maps"])]
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
    parse_needs(text)
    return text


def _declared_maps(kernel_object: Path) -> dict[str, dict[str, Any]]:
    if not kernel_object.is_file():
        return {}
    from conductor.bpf.objects import BpfObject  # noqa: PLC0415 - needs libbpf, which a program without maps does not

    with BpfObject.open(kernel_object) as opened:
        return {
            one.name: {"type": one.type.value, "key_size": one.key_size, "value_size": one.value_size}
            for one in opened.maps
            if not one.internal
        }


def _filled(i: int, need: object, declared: dict[str, dict[str, Any]]) -> dict[str, Any]:
    if not isinstance(need, dict) or "name" not in need:
        raise InvalidSpec(f"needs.json: maps[{i}]", "needs a name")
    if found := declared.get(need["name"]):
        if "type" in need and need["type"] != found["type"]:
            raise InvalidSpec(f"needs.json: maps[{i}].type", f"{need['type']}, but the kernel half has {found['type']}")
        return {**found, **need}
    if "type" in need:
        return need
    has = ", ".join(sorted(declared)) or "no maps"
    raise InvalidSpec(f"needs.json: maps[{i}]", f"{need['name']} needs a type: the kernel half has {has}")


def _replace(path: Path, content: bytes) -> None:
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as made:
        made.write(content)
    Path(made.name).chmod(0o644)
    Path(made.name).replace(path)
