"""A program alone on a stage: the agent's own runtime and series store, and nothing else of the agent."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import click

from conductor.cli.output import Column, Table, columns, note, write
from conductor.errors import InvalidSpec, MapMismatch, ObjectUnreadable, TickFailed
from conductor.exporter.page import Page
from conductor.exporter.store import SeriesStore
from conductor.model.facts import Container, Workload
from conductor.model.grants import Access, MapGrant, MapNeed
from conductor.model.ids import Name
from conductor.model.kernel import Bytecode, PathObject
from conductor.model.program import Limits, UserProgramSpec, WasmSource
from conductor.ports import Instance, MapHandle, ProgramContext
from conductor.wasm.runtime import WasmRuntime

__all__ = ["Stage", "show"]

_LIMITS = Limits(cpu=1000.0, cpu_call=10.0, log_lines=10_000, map_operations=1 << 40, inbox=64 << 20, memory=1 << 30)
"""On a stage a program may take what it needs: budgets are the agent's business."""
_METRICS: Table = (
    Column("METRIC", lambda d: d["name"]),
    Column("LABELS", lambda d: ",".join(f"{key}={value}" for key, value in d["labels"].items())),
    Column("VALUE", lambda d: str(d["value"])),
)


class _Files:
    """Modules where they lie (`wasm.runtime.ModuleFiles`)."""

    def path_of(self, bytecode: Bytecode) -> tuple[str, str]:
        """Answer path and digest."""
        assert isinstance(bytecode, PathObject)
        try:
            content = Path(bytecode.path).read_bytes()
        except OSError as exc:
            raise ObjectUnreadable(f"{bytecode.path}: {exc.strerror}") from exc
        return bytecode.path, f"sha256:{hashlib.sha256(content).hexdigest()}"


class _Nobody:
    """Facts of an empty world (`ports.Lookup`)."""

    def workloads(self, addresses: Sequence[bytes]) -> list[Workload | None]:
        """Know nobody."""
        return [None] * len(addresses)

    def containers(self, cgroup_ids: Sequence[int]) -> list[Container | None]:
        """Know no container."""
        return [None] * len(cgroup_ids)

    def is_local(self, addresses: Sequence[bytes]) -> list[bool]:
        """Know no interface."""
        return [False] * len(addresses)

    def is_settled(self) -> bool:
        """Wait for nobody."""
        return True


class _Cell:
    """State that ends with the command (`ports.StateCell`)."""

    def __init__(self) -> None:
        self._state: bytes | None = None

    def load(self) -> bytes | None:
        """Answer what was stored."""
        return self._state

    def store(self, state: bytes) -> None:
        """Keep it."""
        self._state = state


class Stage:
    """One running program, what it logged and what it shows."""

    def __init__(self, *, name: Name, store: SeriesStore, logs: list[dict[str, Any]], failed: list[str]) -> None:
        self._name, self._store = name, store
        self.logs, self.failures = logs, failed
        self.instance: Instance | None = None
        self.interval = 1.0
        """Seconds between ticks as the program asked for."""

    @classmethod
    @asynccontextmanager
    async def playing(
        cls, module: Path, *, maps: Mapping[str, MapHandle], config: Mapping[str, Any], live: bool
    ) -> AsyncIterator[Stage]:
        """Start a module (an absolute path) with these maps, by need. Raises what Load would."""
        name = Name("program")
        store, logs = SeriesStore(), list[dict[str, Any]]()
        begin = time.monotonic()

        def log(level: str, message: str) -> None:
            logs.append({"level": level, "message": message, "at": round(time.monotonic() - begin, 3)})
            if live:
                note(f"{level}: {message}")

        stage = cls(name=name, store=store, logs=logs, failed=[])
        source = WasmSource(location=PathObject(path=str(module)))
        spec = UserProgramSpec(name=name, source=source, config=config, limits=_LIMITS)
        async with WasmRuntime.running(files=_Files(), cache_dir=None) as runtime:
            needs = await runtime.needs(spec)
            grants = tuple(_granted(need, maps, module) for need in needs)
            spec = UserProgramSpec(name=name, source=source, config=config, limits=_LIMITS, maps=grants)
            sink = store.sink(name, _LIMITS.series)
            context = ProgramContext(
                name=name,
                config=config,
                maps={need.name: maps[need.name] for need in needs},
                series=sink,
                lookup=_Nobody(),
                log=log,
                state=_Cell(),
            )
            stage.instance = await runtime.open(spec, context, None)
            stage.interval = stage.instance.interval
            try:
                yield stage
            finally:
                await stage.instance.close()

    async def tick(self) -> None:
        """Tick once; a tick that fails is remembered. Raises `ProgramCrashed` when the program is beyond use."""
        assert self.instance is not None
        try:
            await self.instance.tick()
        except TickFailed as exc:
            self.failures.append(str(exc))

    def document(self) -> dict[str, Any]:
        """What it shows and what it logged, as `-o json` prints it."""
        from prometheus_client.parser import text_string_to_metric_families  # noqa: PLC0415 - slow to import

        page = Page(store=self._store)
        page.tick(time.monotonic())
        text = page.render(openmetrics=False, gzip=False).decode()
        samples = (sample for family in text_string_to_metric_families(text) for sample in family.samples)
        return {
            "metrics": [
                {
                    "name": sample.name,
                    "labels": {key: value for key, value in sample.labels.items() if key != "program"},
                    "value": _number(sample.value),
                }
                for sample in samples
            ],
            "logs": self.logs,
        }


def show(document: Mapping[str, Any], form: Any) -> None:
    """Print metrics as a table (logs were told as they came), or all as JSON."""
    if form == "json":
        write(document, "json")
    else:
        click.echo(columns(document["metrics"], _METRICS), nl=False)


def _number(value: float) -> int | float | str:
    """Whole numbers exact; JSON has no word for the others."""
    if not math.isfinite(value):
        return {math.inf: "+Inf", -math.inf: "-Inf"}.get(value, "NaN")
    return int(value) if value == int(value) else value


def _granted(need: MapNeed, maps: Mapping[str, MapHandle], module: Path) -> MapGrant:
    handle = maps.get(need.name)
    if handle is None:
        has = f"there are {', '.join(sorted(maps))}" if maps else "there are none: give --kernel OBJ"
        raise InvalidSpec("maps", f"{module.name} needs a map {need.name}; {has}")
    info = handle.info
    wrong = need.type is not info.type or any(
        wanted not in (0, there)
        for wanted, there in ((need.key_size, info.key_size), (need.value_size, info.value_size))
    )
    if wrong:
        raise MapMismatch(
            f"{module.name} needs {need.name} as {need.type.value} of {need.key_size} + {need.value_size} bytes; it is "
            f"{info.type.value} of {info.key_size} + {info.value_size}"
        )
    access = max(need.access, Access.CONSUME) if need.access is not Access.READ else Access.READ
    return MapGrant(name=need.name, kernel_program=Name("kernel"), map=need.name, access=access)
