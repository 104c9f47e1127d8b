"""The host of all wasm programs of a process: engine, linker, threads, pump, compiler and code cache in one place.

Importing this loads wasmtime (25 MiB), so it is done when the first wasm program comes.
"""

from __future__ import annotations

import asyncio
import hashlib
import weakref
from collections import deque
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, Self

from conductor.errors import ConductorError, ModuleUnusable
from conductor.model.ids import Name
from conductor.model.program import UserProgramSpec
from conductor.ports import LogSink, MapHandle, ProgramContext
from conductor.wasm.code_cache import CodeCache
from conductor.wasm.compiler import Compiler
from conductor.wasm.engine import Engine, ReadyModule
from conductor.wasm.guest import Guest
from conductor.wasm.instance import WasmInstance
from conductor.wasm.lane import Lane
from conductor.wasm.linker import Linker
from conductor.wasm.losses import LossCounters
from conductor.wasm.patience import Patience
from conductor.wasm.pool import Pool
from conductor.wasm.pump import Pump
from conductor.wasm.reach import Reach
from conductor.wasm.settings import key_text
from conductor.wasm.shelf import Shelf
from conductor.wasm.tuning import Tuning

__all__ = ["Host"]

RECENT: Final = 8


class Host:
    """Own what all guests share."""

    def __init__(self, *, cache: CodeCache | None, tuning: Tuning) -> None:
        self._cache, self._tuning = cache, tuning
        self._engine = Engine.made()
        self._linker = Linker(self._engine)
        self.pool = Pool(on_beat=self._engine.beat)
        self.pump = Pump(engine=self._engine, fences=tuning.fences)
        self._shelf = Shelf()
        self._compiler = Compiler(seconds=tuning.compile_seconds)
        self._ready: weakref.WeakValueDictionary[str, ReadyModule] = weakref.WeakValueDictionary()
        self._recent: deque[ReadyModule] = deque(maxlen=RECENT)
        """Held though no instance may run: Load looks at a module, then opens it."""
        self._making: dict[str, asyncio.Lock] = {}
        self._key = key_text(version("wasmtime"))
        self.compiled = 0
        """Modules that a child compiled."""

    @classmethod
    def opened(cls, *, cache_dir: Path | None, tuning: Tuning) -> Self:
        """Open the cache and make the engine; blocking. Raises `StateUnwritable`."""
        return cls(cache=CodeCache.opened(cache_dir) if cache_dir else None, tuning=tuning)

    async def module(self, digest: str, read: Callable[[], bytes]) -> ReadyModule:
        """Answer a module ready to instantiate: from memory, from the cache, or compiled now.

        Raises `ModuleUnusable`, `CompileBudget`, and what `read` raises.
        """
        if (ready := self._ready.get(digest)) is not None:
            return ready
        lock = self._making.setdefault(digest, asyncio.Lock())
        try:
            async with lock:
                ready = self._ready.get(digest)
                if ready is None:
                    ready = await self._made(await asyncio.to_thread(read), digest)
                    self._ready[digest] = ready
                    self._recent.append(ready)
                return ready
        finally:
            if not lock.locked():
                self._making.pop(digest, None)

    async def _made(self, content: bytes, digest: str) -> ReadyModule:
        key = f"{digest}:{hashlib.sha256(content).hexdigest()}:{self._key}"
        code = await asyncio.to_thread(self._cache.load, key) if self._cache else None
        if code is not None:
            try:
                return await asyncio.to_thread(self._engine.ready, code, self._linker.pointer)
            except ModuleUnusable:
                pass  # a cache of another build with the same version: compile again
        code = await self._compiler.compile(content)
        self.compiled += 1
        ready = await asyncio.to_thread(self._engine.ready, code, self._linker.pointer)
        if self._cache:
            await asyncio.to_thread(self._cache.store, key, code)
        return ready

    async def instance(
        self,
        *,
        spec: UserProgramSpec,
        context: ProgramContext,
        config: dict[str, Any],
        interval: float,
        ready: ReadyModule,
        fed: bool,
        losses: Mapping[str, MapHandle],
    ) -> WasmInstance:
        """Start an instance. Raises what it does; nothing is left behind then.

        `losses` has the counter of each stream whose losses the kernel half counts.
        """
        instance = WasmInstance(
            name=spec.name,
            lane=Lane(self.pool),
            pump=self.pump,
            shelf=self._shelf,
            limits=spec.limits,
            interval=interval,
            patience=Patience(limits=spec.limits, seconds=self._tuning.throttle_seconds),
            log_sink=context.log,
            wall_seconds=self._tuning.wall_seconds,
            losses=LossCounters(losses, self._shelf.losses(spec.name)),
        )
        reach = Reach(spec=spec, context=context, config=config, open_stream=instance.streams.open)
        guest = Guest(name=spec.name, engine=self._engine, ready=ready, reach=reach, memory_most=spec.limits.memory)
        reach.belong(guest)
        try:
            await instance.start(guest, fed=fed)
        except asyncio.CancelledError:
            instance.abandon()
            raise
        except ConductorError as exc:
            _log(context.log, exc)
            raise
        return instance

    def forget(self, name: Name) -> int:
        """Drop what a program's instances left; answer how many records waited. Blocking."""
        kept = self._shelf.take(name)
        if kept is None:
            return 0
        self.pump.switch(off=kept.streams.subscriptions)
        waited = sum(ledger.queued for ledger in kept.streams.left().values())
        kept.streams.end("closed")
        return waited

    def close(self) -> None:
        """End threads and pump. The engine stays while a guest may still be inside: it ends with the process."""
        self.pump.close()
        self.pool.close()
        if self._cache:
            self._cache.close()


def _log(sink: LogSink, exc: ConductorError) -> None:
    sink("error", str(exc))
