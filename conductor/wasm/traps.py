"""Traps and errors of the C API as sentences: the cause, then the functions it happened in."""

from __future__ import annotations

import ctypes
from ctypes import byref, c_uint8, c_void_p
from typing import Any

from conductor.wasm.capi import HELD, Bytes, error_text, taken

__all__ = ["new_error", "new_trap", "text_of_error", "text_of_trap"]

FRAMES = 12
"""Innermost functions that are named."""
_CAUSES = {
    0: "the stack overflowed",
    1: "memory was accessed out of bounds",
    2: "an atomic access was misaligned",
    3: "a table was accessed out of bounds",
    4: "an indirect call hit a null entry",
    5: "an indirect call had the wrong signature",
    6: "an integer overflowed",
    7: "an integer was divided by zero",
    8: "a float could not become an integer",
    9: "unreachable was executed (abort, panic or a failed assertion)",
    10: "it was interrupted",
}


def new_trap(text: str) -> int:
    """Make a trap for a host function to answer; the engine takes it."""
    raw = text.encode()
    return int(HELD.wasmtime_trap_new(raw, len(raw)))


def new_error(text: str) -> int:
    """Make an error for the epoch callback to answer; the engine takes it."""
    return int(HELD.wasmtime_error_new(text.encode().replace(b"\0", b"?")))


def text_of_trap(trap: c_void_p) -> tuple[str, str]:
    """Answer cause and backtrace of a trap, and delete it."""
    code, message, frames = c_uint8(), Bytes(), Bytes()
    if HELD.wasmtime_trap_code(trap, byref(code)) and code.value in _CAUSES:
        cause = _CAUSES[code.value]
    else:
        HELD.wasm_trap_message(trap, byref(message))
        cause = taken(message).decode(errors="replace").rstrip("\0").rsplit("\n", 1)[-1].strip()
    HELD.wasm_trap_trace(trap, byref(frames))
    trace = _trace(frames)
    HELD.wasm_trap_delete(trap)
    return cause, trace


def text_of_error(error: int) -> tuple[str, str]:
    """Answer cause and backtrace of an error, and delete it."""
    frames = Bytes()
    HELD.wasmtime_error_wasm_trace(error, byref(frames))
    trace = _trace(frames)
    return error_text(error).strip(), trace


def _trace(frames: Bytes) -> str:
    size: Any = frames.size
    pointers = ctypes.cast(frames.data, ctypes.POINTER(c_void_p)) if size else ()
    named = [_frame(pointers[i]) for i in range(min(size, FRAMES))]
    HELD.wasm_frame_vec_delete(byref(frames))
    return " < ".join(named) + (f" < {size - FRAMES} more" if size > FRAMES else "")


def _frame(frame: Any) -> str:
    name = HELD.wasmtime_frame_func_name(frame)
    if name and name.contents.size:
        return str(ctypes.string_at(name.contents.data, name.contents.size)[:120].decode(errors="replace"))
    return f"function {HELD.wasm_frame_func_index(frame)} at {HELD.wasm_frame_module_offset(frame):#x}"
