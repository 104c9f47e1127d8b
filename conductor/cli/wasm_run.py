"""`conductor wasm run`: both halves on this kernel, without an agent."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

from conductor.cli import assignments
from conductor.cli.output import note
from conductor.cli.session import seconds
from conductor.cli.wasm_kernel import attached, manifest_beside
from conductor.cli.wasm_stage import Stage, show
from conductor.errors import ConductorError, InvalidSpec
from conductor.model.program import ProgramSpec, UserProgramSpec
from conductor.ports import MapHandle

__all__ = ["run"]


@click.command(
    epilog="\b\nExamples:\n  sudo conductor wasm run counter.wasm --kernel counter.bpf.o --for 5s\n"
    "  conductor wasm run watcher.wasm --for 5s -o json"
)
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--kernel", metavar="OBJ", type=click.Path(path_type=Path), help="The kernel half: loaded and attached.")
@click.option(
    "--for", "duration", metavar="5s", callback=seconds, default="24h", help="How long; without it until Ctrl-C."
)
@click.option("--config", "config", metavar="K=V", multiple=True, help="A setting of the program; V is JSON or text.")
@click.option("-o", "--output", "form", type=click.Choice(["table", "json"]), default="table", help="Form of output.")
def run(file: Path, *, kernel: Path | None, duration: float, config: Sequence[str], form: Any) -> int:
    """Run a module with its kernel half on this machine and show its metrics at the end.

    Programs of the kernel half are attached by their sections; targets that a section cannot name (interfaces) come from
    manifest.yaml beside it. The log goes to standard error as it comes. Leaves with 1 where a tick failed.
    """
    manifest = manifest_beside(kernel or file)
    with ExitStack() as stack:
        maps = dict(stack.enter_context(attached(kernel, manifest))) if kernel else {}
        granted = {**maps, **_renamed(maps, manifest)}
        return asyncio.run(_play(file.resolve(), granted, assignments.config(config), duration, form))


def _renamed(maps: Mapping[str, MapHandle], manifest: Sequence[ProgramSpec]) -> dict[str, MapHandle]:
    """Maps that the manifest grants under another name."""
    grants = (grant for spec in manifest if isinstance(spec, UserProgramSpec) for grant in spec.maps)
    return {grant.name: maps[grant.map] for grant in grants if grant.map in maps}


async def _play(
    file: Path, maps: Mapping[str, MapHandle], config: Mapping[str, Any], duration: float, form: Any
) -> int:
    try:
        async with Stage.playing(file, maps=maps, config=config, live=True) as stage:
            broken = await _ticks(stage, time.monotonic() + duration)
            document = stage.document()
    except InvalidSpec as exc:
        raise InvalidSpec(str(file), str(exc)) from exc
    show(document, form)
    for failure in stage.failures[:3]:
        note(f"conductor: {failure}")
    if broken:
        note(f"conductor: {broken}")
    return 1 if broken or stage.failures else 0


async def _ticks(stage: Stage, end: float) -> str:
    """Tick until the end, and once there; answers why the program is beyond use, if it is."""
    try:
        while True:
            await stage.tick()
            left = end - time.monotonic()
            if left <= 0:
                return ""
            await asyncio.sleep(min(stage.interval, left))
    except asyncio.CancelledError:
        # Ctrl-C is how one without --for is meant to end: show what there is.
        task = asyncio.current_task()
        if task is not None:
            task.uncancel()
        return ""
    except ConductorError as exc:
        return str(exc)
