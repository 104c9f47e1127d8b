"""`conductor wasm`: make, build, check and try out programs."""

from __future__ import annotations

import click

from conductor.cli.wasm_build import build
from conductor.cli.wasm_check import check
from conductor.cli.wasm_new import new
from conductor.cli.wasm_record import record
from conductor.cli.wasm_replay import replay
from conductor.cli.wasm_run import run

__all__ = ["wasm"]


@click.group(
    epilog="Begin with `conductor wasm new counter --lang c`; docs/wasm.md is the guide.",
)
def wasm() -> None:
    """Make, build, check and try out WebAssembly programs. Nothing here needs an agent."""


for _command in (new, build, check, run, record, replay):
    wasm.add_command(_command)
