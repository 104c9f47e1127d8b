"""The runtime of wasm programs (ports.Runtime): what a module needs, and instances of it."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from conductor.errors import ConductorError
from conductor.model.grants import MapNeed
from conductor.model.ids import Name
from conductor.model.kernel import Bytecode, KernelFunctionSpec
from conductor.model.metrics import MetricSpec
from conductor.model.program import UserProgramSpec, WasmSource
from conductor.ports import Instance, ProgramContext
from conductor.wasm.anatomy import examine
from conductor.wasm.config_schema import checked_config
from conductor.wasm.module_file import read_module
from conductor.wasm.needs import Needs
from conductor.wasm.tuning import Tuning

if TYPE_CHECKING:
    from conductor.wasm.host import Host
    from conductor.wasm.instance import WasmInstance

__all__ = ["ModuleFiles", "WasmRuntime"]

KNOWN: Final = 1024
log = logging.getLogger(__name__)


class ModuleFiles(Protocol):
    """Files of modules, by digest or path."""

    def path_of(self, bytecode: Bytecode) -> tuple[str, str]:
        """Answer path and digest. Raises `ObjectUnreadable`, `NotFound`, or why an image is not here."""
        ...


class WasmRuntime:
    """Run wasm programs. wasmtime is loaded when the first one comes."""

    def __init__(self, *, files: ModuleFiles, cache_dir: Path | None, tuning: Tuning | None = None) -> None:
        self._files, self._cache_dir, self._tuning = files, cache_dir, tuning or Tuning()
        self._known: OrderedDict[str, Needs] = OrderedDict()
        """Needs of modules that were examined and compiled, by digest."""
        self._host: Host | None = None
        self._opening = asyncio.Lock()
        self._problem = ""

    @classmethod
    @asynccontextmanager
    async def running(
        cls, *, files: ModuleFiles, cache_dir: Path | None, tuning: Tuning | None = None
    ) -> AsyncIterator[WasmRuntime]:
        """Be ready for wasm programs; those that still run at the end are left to end with the process."""
        runtime = cls(files=files, cache_dir=cache_dir, tuning=tuning)
        try:
            yield runtime
        finally:
            if runtime._host is not None:
                await asyncio.to_thread(runtime._host.close)

    # --- ports.Runtime ------------------------------------------------------------------------------------------------

    async def needs(self, spec: UserProgramSpec) -> tuple[MapNeed, ...]:
        """What the module cannot do without. Raises `ModuleUnusable`, `CompileBudget`, `InvalidSpec`, `NotFound`."""
        path, digest = await self._locate(spec)
        needs = self._known.get(digest)
        if needs is None:
            content = await asyncio.to_thread(read_module, path, digest)
            needs = (await asyncio.to_thread(examine, content)).needs
            await (await self._ready_host()).module(digest, lambda: content)
            self._remember(digest, needs)
        checked_config(needs.config_schema, spec.config)
        return needs.maps

    def metrics(self, spec: UserProgramSpec) -> tuple[MetricSpec, ...]:
        """Families that the module says it declares."""
        assert isinstance(spec.source, WasmSource)
        try:
            _, digest = self._files.path_of(spec.source.location)
        except ConductorError:
            return ()
        return self._known[digest].metrics if digest in self._known else ()

    def kernel_half(self, spec: UserProgramSpec) -> tuple[Bytecode, tuple[KernelFunctionSpec, ...]] | None:
        """Answer None: a module brings no kernel half, its maps are granted."""
        del spec
        return None

    async def open(self, spec: UserProgramSpec, context: ProgramContext, old: Instance | None) -> Instance:
        """Start an instance; over an old one, watch it, and let the old one go on where it is no good."""
        path, digest = await self._locate(spec)
        await self.needs(spec)
        needs, host = self._known[digest], await self._ready_host()
        ready = await host.module(digest, lambda: read_module(path, digest))
        config = checked_config(needs.config_schema, spec.config)
        before = _wasm(old)
        if before is not None:
            await _saved(before)
        new = await host.instance(
            spec=spec,
            context=context,
            config=config,
            interval=float(config.get("interval", needs.interval)),
            ready=ready,
            fed=before is None,
            losses={ring: context.maps[counter] for ring, counter in needs.losses.items() if counter in context.maps},
        )
        if before is not None:
            await self._proven(new, before)
        return new

    def problems(self) -> tuple[str, ...]:
        """What is amiss with the runtime itself."""
        return (self._problem,) if self._problem else ()

    async def forget(self, name: Name) -> None:
        """Drop records that waited for a next instance (ports.KeepsRecords): the program was unloaded."""
        if self._host is not None and (waited := await asyncio.to_thread(self._host.forget, name)):
            log.info("%s was unloaded; %d records that still waited for it are dropped", name, waited)

    # --- inside -------------------------------------------------------------------------------------------------------

    async def _proven(self, new: WasmInstance, old: WasmInstance) -> None:
        from conductor.wasm.update import prove  # noqa: PLC0415 - wasmtime is loaded by now

        try:
            await prove(new, old, seconds=self._tuning.watch_seconds)
        except BaseException:
            await new.close()
            raise
        await _saved(old)  # writes what it counted between its first save and the switch; nobody restores this one

    async def _locate(self, spec: UserProgramSpec) -> tuple[str, str]:
        assert isinstance(spec.source, WasmSource)
        return await asyncio.to_thread(self._files.path_of, spec.source.location)

    def _remember(self, digest: str, needs: Needs) -> None:
        self._known[digest] = needs
        self._known.move_to_end(digest)
        while len(self._known) > KNOWN:
            self._known.popitem(last=False)

    async def _ready_host(self) -> Host:
        async with self._opening:
            if self._host is None:
                try:
                    self._host = await asyncio.to_thread(self._make_host)
                    self._problem = ""
                except ConductorError as exc:
                    self._problem = f"wasm programs cannot run: {exc}"
                    raise
            return self._host

    def _make_host(self) -> Host:
        from conductor.wasm.host import Host  # noqa: PLC0415 - loads wasmtime, 25 MiB

        return Host.opened(cache_dir=self._cache_dir, tuning=self._tuning)


async def _saved(old: WasmInstance) -> None:
    try:
        await old.save()
    except ConductorError:
        return  # it goes on or not by itself; the new version starts from what was saved before


def _wasm(old: Instance | None) -> Any:
    """Answer the instance if it is of this runtime."""
    return old if old is not None and hasattr(old, "take_over") else None
