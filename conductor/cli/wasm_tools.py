"""Compilers of guests and kernel halves: where they are, and which package has them where they are not."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from conductor.cli.wasm_project import Language
from conductor.errors import BuildFailed, ToolMissing

__all__ = ["INCLUDES", "missing", "needed", "run"]

INCLUDES = tuple(f"-I/usr/include/{triple}" for triple in ("x86_64-linux-gnu", "aarch64-linux-gnu"))
"""Where Debian keeps asm/types.h, which `-target bpf` does not look into by itself."""
_GO_LEAST = (1, 24)
"""//go:wasmexport with -buildmode=c-shared."""
_NODE_LEAST = 20
"""What the pinned AssemblyScript asks for."""
_LONGEST = 1200.0
"""Seconds for one tool; a first `npm ci` or a cold Go build cache is slow."""


def needed(language: Language, *, kernel_half: bool) -> None:
    """Check that everything is there. Raises `ToolMissing` naming each thing and the package that has it."""
    lacks = missing(language, kernel_half=kernel_half)
    if lacks:
        listed = "; ".join(f"{what} (install {where})" for what, where in lacks.items())
        raise ToolMissing(f"cannot build {language.value}: missing {listed}")


def missing(language: Language, *, kernel_half: bool) -> dict[str, str]:
    """What is not there, each with what to install: Debian's package unless said otherwise."""
    lacks = {Language.C: _c, Language.RUST: _rust, Language.GO: _go, Language.ASSEMBLYSCRIPT: _assemblyscript}[
        language
    ]()
    return {**lacks, **_kernel()} if kernel_half else lacks


def run(command: Sequence[str], *, within: Path, env: Mapping[str, str] | None = None) -> None:
    """Show a command on standard error, as one would type it, and run it there. Raises `BuildFailed`."""
    typed = " ".join([*(f"{key}={shlex.quote(value)}" for key, value in (env or {}).items()), shlex.join(command)])
    click.echo(f"$ {typed}", err=True)
    try:
        done = subprocess.run(
            ["env", *(f"{key}={value}" for key, value in (env or {}).items()), *command],  # noqa: S607 - their own PATH
            cwd=within,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=_LONGEST,
        )
    except subprocess.TimeoutExpired as exc:
        raise BuildFailed(f"{command[0]} did not end within {_LONGEST:.0f} s") from exc
    said = done.stdout + done.stderr
    if said:
        click.echo(said, err=True, nl=not said.endswith("\n"))
    if done.returncode:
        raise BuildFailed(f"{command[0]} ended with {done.returncode}; what it said stands above")


def _absent(tools: Mapping[str, str]) -> dict[str, str]:
    return {tool: where for tool, where in tools.items() if shutil.which(tool) is None}


def _said(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, stdin=subprocess.DEVNULL)
    return done.stdout.strip()


def _kernel() -> dict[str, str]:
    lacks = _absent({"clang": "clang"})
    if not Path("/usr/include/bpf/bpf_helpers.h").is_file():
        lacks["bpf/bpf_helpers.h"] = "libbpf-dev"
    return lacks


def _c() -> dict[str, str]:
    lacks = _absent({"clang": "clang", "wasm-ld": "lld"})
    if not any(Path("/usr/lib").glob("wasm32-wasi*/crt1-reactor.o")):
        lacks["crt1-reactor.o"] = "wasi-libc"
    if "clang" not in lacks:
        folder = Path(_said("clang", "--print-resource-dir"))
        if not any(folder.glob("lib/*/libclang_rt.builtins*wasm32*")) and not any(
            folder.glob("lib/wasm32*/libclang_rt.builtins.a")
        ):
            lacks["libclang_rt.builtins-wasm32.a"] = "libclang-rt-dev-wasm32"
    return lacks


def _rust() -> dict[str, str]:
    lacks = _absent({"cargo": "cargo, or Rust by rustup", "rustc": "rustc, or Rust by rustup"})
    if not lacks:
        folder = _said("rustc", "--print", "target-libdir", "--target", "wasm32-unknown-unknown")
        if not folder or not any(Path(folder).glob("libcore-*.rlib")):
            lacks["Rust's target wasm32-unknown-unknown"] = (
                "libstd-rust-dev-wasm32, or with rustup: rustup target add wasm32-unknown-unknown"
            )
    return lacks


def _go() -> dict[str, str]:
    lacks = _absent({"go": "golang-go"})
    if not lacks:
        found = re.search(r"go(\d+)\.(\d+)", _said("go", "env", "GOVERSION"))
        if found and (int(found[1]), int(found[2])) < _GO_LEAST:
            lacks[f"go {_GO_LEAST[0]}.{_GO_LEAST[1]} or newer; {found[0]} is here"] = "golang-go of a newer release"
    return lacks


def _assemblyscript() -> dict[str, str]:
    lacks = _absent({"node": "nodejs", "npm": "npm"})
    if "node" not in lacks:
        found = re.match(r"v(\d+)", _said("node", "--version"))
        if found and int(found[1]) < _NODE_LEAST:
            lacks[f"node {_NODE_LEAST} or newer; {found[0]} is here"] = "nodejs of a newer release"
    return lacks
