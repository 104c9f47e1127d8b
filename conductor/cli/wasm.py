"""`conductor wasm`: make, build, check and try out programs."""

from __future__ import annotations

import click

from conductor.cli.wasm_build import build
from conductor.cli.wasm_check import check
from conductor.cli.wasm_new import new

__all__ = ["wasm"]


@click.group(
    epilog="Begin with `conductor wasm new counter --lang c`; docs/wasm.md is the guide.",
)
def wasm() -> None:
    """Make, build, check and try out WebAssembly programs. Nothing here needs an agent."""


for _command in (new, build, check):
    wasm.add_command(_command)
