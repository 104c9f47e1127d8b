"""A host of wasm programs without managers: modules from memory, series in a real store, state in real cells."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from prometheus_client.parser import text_string_to_metric_families

from conductor.exporter.page import Page
from conductor.exporter.store import SeriesStore
from conductor.managers.cells import CellFiles
from conductor.model.grants import MapGrant
from conductor.model.ids import Name
from conductor.model.kernel import Bytecode, PathObject
from conductor.model.program import Limits, UserProgramSpec, WasmSource
from conductor.ports import MapHandle, ProgramContext
from conductor.wasm.instance import WasmInstance
from conductor.wasm.runtime import WasmRuntime
from conductor.wasm.tuning import Tuning
from tests.fakes.lookup import FakeLookup

__all__ = ["QUICK", "Files", "World", "Worlds"]

QUICK = Tuning(throttle_seconds=0.3, wall_seconds=2.0, watch_seconds=0.3, compile_seconds=20.0)


class Files:
    """Modules as files named by their digest."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def put(self, module: bytes) -> PathObject:
        digest = f"sha256:{hashlib.sha256(module).hexdigest()}"
        path = self.folder / f"{digest[7:]}.wasm"
        path.write_bytes(module)
        return PathObject(path=str(path), digest=digest)

    def path_of(self, bytecode: Bytecode) -> tuple[str, str]:
        assert isinstance(bytecode, PathObject)
        return bytecode.path, bytecode.digest


@dataclass
class World:
    """One runtime and what it writes to."""

    runtime: WasmRuntime
    files: Files
    cells: CellFiles
    stack: AsyncExitStack
    store: SeriesStore = field(default_factory=SeriesStore)
    lookup: FakeLookup = field(default_factory=FakeLookup)
    logs: list[tuple[str, str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page = Page(store=self.store)

    def spec(self, module: bytes, name: str = "one", **more: Any) -> UserProgramSpec:
        limits = more.pop("limits", Limits())
        return UserProgramSpec(
            name=Name(name), source=WasmSource(location=self.files.put(module)), limits=limits, **more
        )

    async def open(
        self,
        module: bytes,
        name: str = "one",
        *,
        maps: Mapping[str, MapHandle] | None = None,
        grants: tuple[MapGrant, ...] = (),
        old: WasmInstance | None = None,
        **more: Any,
    ) -> WasmInstance:
        spec = self.spec(module, name, maps=grants, **more)
        context = ProgramContext(
            name=Name(name),
            config=spec.config,
            maps=maps or {},
            series=self.store.sink(name, spec.limits.series),
            lookup=self.lookup,
            log=lambda level, message: self.logs.append((name, level, message)),
            state=self.cells.cell(Name(name)),
        )
        instance = await self.runtime.open(spec, context, old)
        assert isinstance(instance, WasmInstance)
        self.stack.push_async_callback(instance.close)
        return instance

    def value(self, metric: str, name: str = "one", **labels: str) -> float | None:
        """A series as the page would show it."""
        self.page.tick(0.0)
        text = self.page.render(openmetrics=False, gzip=False, programs=[name]).decode()
        wanted = {"program": name, **labels}
        found = [
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == metric and sample.labels == wanted
        ]
        return found[0] if found else None

    def said(self, name: str = "one") -> list[str]:
        return [message for who, _, message in self.logs if who == name]


class Worlds(Protocol):
    def __call__(self, tuning: Tuning = ...) -> AbstractAsyncContextManager[World]: ...
