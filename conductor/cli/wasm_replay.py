"""`conductor wasm replay`: a recording played to a program; no kernel, no root, the same every time."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

from conductor.cli import assignments
from conductor.cli.output import note
from conductor.cli.session import seconds
from conductor.cli.wasm_memory import MemoryMap
from conductor.cli.wasm_recording import Batch, Moment, Recording, read_recording
from conductor.cli.wasm_stage import Stage, show
from conductor.errors import ConductorError, DeadlineExceeded, InvalidSpec, ObjectUnreadable

__all__ = ["differences", "replay"]

_PIECE = 128 << 10
"""Bytes of records between two waits for the program to take them: nothing is dropped."""
_PATIENCE = 30.0


@click.command(
    epilog="\b\nExamples:\n  conductor wasm replay counter.wasm recording.jsonl -o json\n"
    "  conductor wasm replay counter.wasm recording.jsonl --expect expected.json"
)
@click.argument("module", type=click.Path(path_type=Path))
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--for", "duration", metavar="5s", callback=seconds, default="24h", help="Play only the beginning.")
@click.option("--config", "config", metavar="K=V", multiple=True, help="A setting of the program; V is JSON or text.")
@click.option(
    "--expect", metavar="FILE", type=click.Path(path_type=Path), help="Metrics that must be there at the end."
)
@click.option("-o", "--output", "form", type=click.Choice(["table", "json"]), default="table", help="Form of output.")
def replay(module: Path, file: Path, *, duration: float, config: Sequence[str], expect: Path | None, form: Any) -> int:
    """Play a recording to a module as fast as it takes it, with the ticks it would have had, and one at the end.

    --expect names a file as `-o json` prints it; each of its metrics must be there with that value (any, where value is
    left out). Leaves with 1 where one is not, where a tick failed, or where the program broke.
    """
    recording = read_recording(file)
    wanted = _wanted(expect) if expect else []
    document, problems = asyncio.run(_play(module.resolve(), recording, assignments.config(config), duration))
    show(document, form)
    problems += differences(wanted, document["metrics"])
    for problem in problems:
        note(f"conductor: {problem}")
    return 1 if problems else 0


def differences(wanted: Sequence[Mapping[str, Any]], found: Sequence[Mapping[str, Any]]) -> list[str]:
    """What was expected and is not so, a sentence each."""
    values = {(one["name"], *sorted(one["labels"].items())): one["value"] for one in found}
    told = []
    for one in wanted:
        key = (one["name"], *sorted(one.get("labels", {}).items()))
        labels = ",".join(f"{label}={value}" for label, value in key[1:])
        if key not in values:
            told.append(f"expected {one['name']}{{{labels}}}, and it is not there")
        elif "value" in one and one["value"] != values[key]:
            told.append(f"expected {one['name']}{{{labels}}} to be {one['value']}, and it is {values[key]}")
    return told


async def _play(
    module: Path, recording: Recording, config: Mapping[str, Any], duration: float
) -> tuple[dict[str, Any], list[str]]:
    broken: list[str] = []
    with ExitStack() as stack:
        maps = {name: stack.enter_context(MemoryMap(info)) for name, info in recording.maps.items()}
        async with Stage.playing(module, maps=maps, config=config, live=True) as stage:
            try:
                await _Player(stage=stage, maps=maps).play(recording, duration)
            except ConductorError as exc:
                broken.append(str(exc))
            document = stage.document()
    return document, stage.failures + broken


class _Player:
    """Bring what was recorded in its order, with ticks between."""

    def __init__(self, *, stage: Stage, maps: Mapping[str, MemoryMap]) -> None:
        self._stage, self._maps = stage, maps
        self._pushed = 0

    async def play(self, recording: Recording, duration: float) -> None:
        """Play; raises why the program is beyond use, `DeadlineExceeded` if it takes no records."""
        end = min(recording.seconds, duration)
        interval = self._stage.interval
        due = interval
        for moment in recording.moments:
            if moment.at > end:
                break
            while due < moment.at:
                await self._stage.tick()
                due += interval
            await self._bring(moment)
        while due < end:
            await self._stage.tick()
            due += interval
        await self._stage.tick()

    async def _bring(self, moment: Moment) -> None:
        target = self._maps[moment.map if not isinstance(moment, Batch) else moment.ring]
        if not isinstance(moment, Batch):
            target.replace(moment.entries)
        elif target.opened_ring is not None:
            for piece in _pieces(moment.records, min(_PIECE, target.opened_ring.size // 2)):
                for record in piece:
                    if not target.opened_ring.push(record):
                        raise DeadlineExceeded(f"ring {moment.ring} has no room for a record of {len(record)} bytes")
                self._pushed += len(piece)
                await self._delivered()

    async def _delivered(self) -> None:
        """Wait until the program took, or lost, everything."""
        instance = self._stage.instance
        assert instance is not None
        end = time.monotonic() + _PATIENCE
        while time.monotonic() < end:
            cost = instance.cost()
            if cost.events_delivered + sum(cost.events_dropped.values()) >= self._pushed:
                return
            await asyncio.sleep(0.001)
        raise DeadlineExceeded(f"the program did not take its records within {_PATIENCE:.0f} s")


def _pieces(records: Sequence[bytes], most: int) -> Iterator[list[bytes]]:
    piece, size = list[bytes](), 0
    for record in records:
        if piece and size + len(record) + 16 > most:
            yield piece
            piece, size = [], 0
        piece.append(record)
        size += len(record) + 16
    if piece:
        yield piece


def _wanted(path: Path) -> list[dict[str, Any]]:
    try:
        document = json.loads(path.read_text())
    except OSError as exc:
        raise ObjectUnreadable(f"{path}: {exc.strerror}") from exc
    except (ValueError, RecursionError) as exc:
        raise InvalidSpec(str(path), f"is no JSON: {exc}") from exc
    metrics = document.get("metrics") if isinstance(document, dict) else None
    if not isinstance(metrics, list) or not all(isinstance(one, dict) and "name" in one for one in metrics):
        raise InvalidSpec(str(path), 'must be {"metrics": [{"name", "labels", "value"}]}, as replay -o json prints it')
    return metrics
