"""One instance of a module: its store, its exports, and calls under a budget.

A guest is used by one thread at a time; which thread may change from call to call. While a thread runs a guest, host
functions find it by that thread alone, so what fails in one guest can never be taken for another's failure.
"""

from __future__ import annotations

import logging
import threading
from ctypes import byref, c_int64, c_void_p
from typing import Any, Final

from conductor.errors import BudgetExceeded, CallBudget, ConductorError, ModuleUnusable, ProgramCrashed, ProgramTrapped
from conductor.wasm.abi import EXPORTS
from conductor.wasm.capi import EPOCH_CALLBACK, EXTERN_FUNC, EXTERN_MEMORY, HELD, RELEASED, Extern, Instance
from conductor.wasm.engine import Engine, ReadyModule
from conductor.wasm.memory import GuestMemory
from conductor.wasm.meter import CallMeter
from conductor.wasm.traps import new_error, text_of_error, text_of_trap

__all__ = ["Guest", "running"]

TABLE_ELEMENTS: Final = 100_000
_NAMES: Final = tuple(export.name for export in EXPORTS)
_SLOTS: Final = 8
"""Room for arguments and results: four values of 16 bytes each."""
_Raw: Any = c_int64 * _SLOTS
log = logging.getLogger(__name__)


class _Here(threading.local):
    guest: Guest | None = None

    def __init__(self) -> None:
        self.raw = _Raw()
        """Arguments and results: a thread runs one guest at a time."""


_here = _Here()


def running() -> Guest | None:
    """Answer the guest that this thread runs."""
    return _here.guest


class Guest:
    """Own one store and the instance in it. `reach` is what its host functions may use."""

    __slots__ = (
        "_context",
        "_exports",
        "_instance",
        "_ready",
        "_store",
        "cpu_seconds",
        "failure",
        "host_calls",
        "is_starting",
        "memory",
        "memory_bytes",
        "meter",
        "name",
        "reach",
    )

    def __init__(self, *, name: str, engine: Engine, ready: ReadyModule, reach: Any, memory_most: int) -> None:
        self.name, self.reach, self._ready = name, reach, ready
        self.meter = CallMeter()
        self.memory: GuestMemory | None = None
        self.memory_bytes = 0
        self.cpu_seconds = 0.0
        self.failure: ConductorError | None = None
        """Why it is beyond use. Host functions may set it; it is then what the running call raises."""
        self.is_starting = False
        self.host_calls = 0
        """Host functions that the running call has called."""
        self._exports: tuple[str, ...] = ()
        self._instance = Instance()
        self._store = HELD.wasmtime_store_new(engine.pointer, None, None)
        self._context = HELD.wasmtime_store_context(self._store)
        HELD.wasmtime_store_limiter(self._store, memory_most, TABLE_ELEMENTS, 1, 16, 1)
        HELD.wasmtime_store_epoch_deadline_callback(self._store, _EPOCH, None, None)

    def start(self, *, cpu: float, wall: float) -> None:
        """Instantiate; the start section runs under the budget. Raises as `call`, `ModuleUnusable`."""
        trap = c_void_p()
        self._begin(cpu, wall)
        self.is_starting = True
        try:
            error = RELEASED.wasmtime_instance_pre_instantiate(
                self._ready.pointer, self._context, byref(self._instance), byref(trap)
            )
        finally:
            self._end()
            self.is_starting = False
        if error or trap.value:
            raise self._broken("start", error, trap)
        # Names alone: what to call is looked up for each call, in less time than the call takes and no memory.
        self._exports = tuple(
            name for name in _NAMES if (found := self._export(name)) is not None and found.kind == EXTERN_FUNC
        )
        found = self._export("memory")
        if found is None or found.kind != EXTERN_MEMORY:
            raise ModuleUnusable("the module does not export its memory under the name memory")
        self.memory = GuestMemory(self._context, found.of.memory)
        self._measure()

    def exports(self, name: str) -> bool:
        """Whether the module has an export of the ABI."""
        return name in self._exports

    def call(self, name: str, *arguments: int, cpu: float, wall: float) -> int:
        """Call an export of the ABI. Raises `ProgramTrapped`, `CallBudget`, `ProgramExited`: it is beyond use then."""
        if self.failure is not None:
            raise self.failure
        raw = _here.raw
        for i, argument in enumerate(arguments):
            raw[2 * i] = argument
        trap = c_void_p()
        function = self._export(name).of.func
        self._begin(cpu, wall)
        try:
            error = RELEASED.wasmtime_func_call_unchecked(self._context, byref(function), raw, _SLOTS // 2, byref(trap))
        finally:
            self._end()
        self._measure()
        if error or trap.value:
            raise self._broken(name, error, trap)
        answer = int(raw[0]) & 0xFFFFFFFF
        return answer - (1 << 32) if answer >> 31 else answer

    def close(self) -> None:
        """Delete the store; a second call does nothing. No thread may be inside."""
        store, self._store = self._store, None
        if store:
            self.failure = self.failure or ProgramCrashed(f"{self.name} was closed")
            self.memory = None
            RELEASED.wasmtime_store_delete(store)

    def _begin(self, cpu: float, wall: float) -> None:
        if _here.guest is not None:
            raise AssertionError("a guest is called from within a guest")
        self.meter.start(cpu=cpu, wall=wall)
        self.host_calls = 0
        HELD.wasmtime_context_set_epoch_deadline(self._context, 1)
        _here.guest = self

    def _end(self) -> None:
        _here.guest = None
        self.cpu_seconds += self.meter.spent()

    def _measure(self) -> None:
        if self.memory is not None:
            self.memory_bytes = self.memory.size

    def _export(self, name: str) -> Any:
        found, raw = Extern(), name.encode()
        is_there = HELD.wasmtime_instance_export_get(self._context, byref(self._instance), raw, len(raw), byref(found))
        return found if is_there else None

    def _broken(self, name: str, error: int | None, trap: c_void_p) -> ConductorError:
        """Make the error of a call that did not return; what a host function or the budget said comes first."""
        cause, trace = text_of_trap(trap) if trap.value else text_of_error(int(error or 0))
        where = f" in {trace}" if trace else ""
        if self.failure is not None:
            self.failure = type(self.failure)(f"{name}: {self.failure}{where}")
        elif trap.value:
            self.failure = ProgramTrapped(f"{name}: {cause}{where}")
        elif "memory minimum size" in cause or "table minimum size" in cause:
            self.failure = BudgetExceeded(f"{name}: {cause}; raise the limit memory")
        else:
            self.failure = ProgramCrashed(f"{name}: {cause}{where}")
        return self.failure


def _look(_context: int, _data: int, ticks: Any, kind: Any) -> int:
    """Let a guest go on into the next epoch while its budget lasts."""
    guest = _here.guest
    try:
        verdict = guest.meter.verdict() if guest is not None else ""
        if not verdict:
            ticks[0], kind[0] = 1, 0
            return 0
        assert guest is not None
        guest.failure = CallBudget(verdict)
    except BaseException:  # an error here must not leave through the C API
        log.exception("the budget of a guest could not be told")
        if guest is not None:
            guest.failure = ProgramCrashed("its budget could not be told; the agent's log has the trace")
    return new_error("over budget")


_EPOCH = EPOCH_CALLBACK(_look)
