"""All host functions, defined once for the whole engine; each call finds its guest by the thread it comes on."""

from __future__ import annotations

import errno
import logging
import threading
import time
from collections.abc import Callable
from typing import Any, Final

from conductor.errors import (
    BudgetExceeded,
    ConductorError,
    InvalidSpec,
    KernelRefused,
    MetricClash,
    NotAllowed,
    NotFound,
    NotSupported,
    ProgramCrashed,
)
from conductor.wasm.abi import IMPORTS, MODULE, Error, Type
from conductor.wasm.capi import HELD, HOST_CALLBACK, error_text, function_type
from conductor.wasm.engine import Engine
from conductor.wasm.guest import Guest, running
from conductor.wasm.hostcalls.facts import FactCalls
from conductor.wasm.hostcalls.maps import MapCalls
from conductor.wasm.hostcalls.metrics import MetricCalls
from conductor.wasm.hostcalls.own import OwnCalls
from conductor.wasm.hostcalls.wasi import FUNCTIONS as WASI_FUNCTIONS
from conductor.wasm.hostcalls.wasi import MODULES as WASI_MODULES
from conductor.wasm.hostcalls.wasi import WasiCalls
from conductor.wasm.memory import Refused
from conductor.wasm.traps import new_trap

__all__ = ["TOPICS", "Linker", "code_of"]

TOPICS: Final[dict[str, type]] = {"maps": MapCalls, "metrics": MetricCalls, "facts": FactCalls, "own": OwnCalls}
"""Attribute of the reach -> the class whose methods are imports of the ABI."""
MANY_CALLS: Final = 4_000
CALLS_A_NAP: Final = 50
NAP_SECONDS: Final = 0.001
"""A call that calls host functions in a loop is slowed down: everything moves in batches, nobody needs so many."""
MANY_ROWS: Final = 2_048
_turn = threading.Lock()
"""Whoever holds it competes for the interpreter's lock; the other large calls wait here, where they harm nobody."""
_MASKS = {Type.I32: 0xFFFFFFFF, Type.I64: 0xFFFFFFFFFFFFFFFF}
log = logging.getLogger(__name__)


class Linker:
    """Own the linker and the callbacks behind it, which must live as long as the engine."""

    def __init__(self, engine: Engine) -> None:
        self.pointer: int = HELD.wasmtime_linker_new(engine.pointer)
        self._callbacks: list[Any] = []
        for function in IMPORTS:
            topic, method = _method(function.name)
            types = [kind for _, kind in function.parameters]
            handler = _taking_turns(_abi(topic, method), [name for name, _ in function.parameters])
            self._define(MODULE, function.name, types, [function.result], handler, starting=Error.STATE)
        for name, (parameters, results) in WASI_FUNCTIONS.items():
            handler = _wasi(name)
            for module in WASI_MODULES:
                self._define(module, name, parameters, results, handler, starting=52)

    def close(self) -> None:
        """Delete the linker; a second call does nothing."""
        pointer, self.pointer = self.pointer, 0
        if pointer:
            HELD.wasmtime_linker_delete(pointer)

    def _define(
        self, module: str, name: str, types: Any, results: Any, handler: Callable[..., int], *, starting: int
    ) -> None:
        callback = HOST_CALLBACK(_guarded(name, types, handler, starting))
        self._callbacks.append(callback)
        kind = function_type(types, results)
        where, what = module.encode(), name.encode()
        error = HELD.wasmtime_linker_define_func_unchecked(
            self.pointer, where, len(where), what, len(what), kind, callback, None, None
        )
        HELD.wasm_functype_delete(kind)
        if error:
            raise AssertionError(f"{module}.{name}: {error_text(error)}")


def code_of(error: ConductorError) -> Error:
    """Answer the ABI's code for an error of the parts behind host functions."""
    match error:
        case InvalidSpec():
            return Error.ARGUMENT
        case BudgetExceeded():
            return Error.BUDGET
        case NotAllowed():
            return Error.DENIED
        case NotFound():
            return Error.NOT_FOUND
        case MetricClash():
            return Error.STATE
        case NotSupported():
            return Error.UNSUPPORTED
        case KernelRefused():
            number = getattr(error.__cause__, "errno", None)
            return _KERNEL.get(number or 0, Error.KERNEL)
        case _:
            return Error.KERNEL


_KERNEL = {
    errno.E2BIG: Error.FULL,
    errno.ENOSPC: Error.FULL,
    errno.ENOENT: Error.NOT_FOUND,
    errno.EEXIST: Error.ARGUMENT,
    errno.EINVAL: Error.UNSUPPORTED,
    errno.EOPNOTSUPP: Error.UNSUPPORTED,
    524: Error.UNSUPPORTED,
}
"""What bpf(2) says, as a guest is told."""


def _method(name: str) -> tuple[str, Callable[..., int]]:
    for topic, kind in TOPICS.items():
        if (method := getattr(kind, name, None)) is not None:
            return topic, method
    raise AssertionError(f"no host function {name}")


def _abi(topic: str, method: Callable[..., int]) -> Callable[..., int]:
    def handler(guest: Guest, *arguments: int) -> int:
        try:
            return method(getattr(guest.reach, topic), *arguments)
        except Refused as refused:
            return int(refused.code)
        except ProgramCrashed:
            raise
        except ConductorError as error:
            code = code_of(error)
            if code in (Error.KERNEL, Error.STATE, Error.ARGUMENT) or isinstance(error, NotSupported):
                guest.reach.tell(method.__name__, error)
            return int(code)

    return handler


def _taking_turns(handler: Callable[..., int], names: list[str]) -> Callable[..., int]:
    """Let calls with very many rows, which cost milliseconds of Python each, come one after the other."""
    if "count" not in names:
        return handler
    place = names.index("count")

    def in_turn(guest: Guest, *arguments: int) -> int:
        if arguments[place] <= MANY_ROWS:
            return handler(guest, *arguments)
        with _turn:
            return handler(guest, *arguments)

    return in_turn


def _wasi(name: str) -> Callable[..., int]:
    method: Callable[..., int] | None = getattr(WasiCalls, name, None)

    def handler(guest: Guest, *arguments: int) -> int:
        if method is None:
            return 8 if name.startswith(("fd_", "path_", "sock_")) else 52  # EBADF, ENOSYS
        try:
            return method(guest.reach.wasi, *arguments)
        except Refused:
            return 21  # EFAULT

    return handler


def _guarded(name: str, types: Any, handler: Callable[..., int], starting: int) -> Callable[..., int | None]:
    """Wrap a host function: nothing it raises goes further than this frame."""
    slots = tuple((2 * i, _MASKS[kind]) for i, kind in enumerate(types))

    def enter(_environment: int, _caller: int, raw: Any, _count: int) -> int | None:
        guest = running()
        try:
            if guest is None or guest.memory is None:
                raw[0] = starting
                return None
            guest.host_calls += 1
            if guest.host_calls > MANY_CALLS and guest.host_calls % CALLS_A_NAP == 0:
                time.sleep(NAP_SECONDS)  # each call takes the interpreter's lock, which all others need too
            raw[0] = handler(guest, *[raw[i] & mask for i, mask in slots])
        except ProgramCrashed as end:
            assert guest is not None
            guest.failure = end
        except BaseException as exc:  # it must not leave through the C API
            log.exception("host function %s failed", name)
            if guest is not None:
                guest.failure = ProgramCrashed(
                    f"host function {name} failed ({type(exc).__name__}); see the agent's log"
                )
        else:
            return None
        return new_trap("ended by the host")

    return enter
