"""The C API of wasmtime (50), as far as it is called here; loading it costs 25 MiB, so only hosts import this.

Every function exists in one of two manners. `RELEASED` gives up the interpreter lock: whatever runs guests, compiles or
maps memory. `HELD` keeps it: tiny look-ups that would pay more for the lock than for themselves. Pointers are plain
integers; who made one deletes it.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from ctypes import POINTER, byref, c_bool, c_char_p, c_int64, c_size_t, c_uint8, c_uint32, c_uint64, c_void_p
from typing import Any

from wasmtime import _ffi as ffi

from conductor.wasm.abi import Type

__all__ = [
    "EPOCH_CALLBACK",
    "EXTERN_FUNC",
    "EXTERN_MEMORY",
    "HELD",
    "HOST_CALLBACK",
    "RELEASED",
    "Bytes",
    "Extern",
    "Func",
    "Instance",
    "Memory",
    "error_text",
    "function_type",
    "taken",
]

Extern: Any = ffi.wasmtime_extern_t
Func: Any = ffi.wasmtime_func_t
Instance: Any = ffi.wasmtime_instance_t
Memory: Any = ffi.wasmtime_memory_t
EXTERN_FUNC, EXTERN_MEMORY = 0, 3

HOST_CALLBACK = ctypes.CFUNCTYPE(c_void_p, c_void_p, c_void_p, POINTER(c_int64), c_size_t)
"""(environment, caller, arguments and results: 16 bytes each, how many) -> trap or null."""
EPOCH_CALLBACK = ctypes.CFUNCTYPE(c_size_t, c_void_p, c_void_p, POINTER(c_uint64), POINTER(c_uint8))
"""(context, data, ticks to add, kind) -> error or null."""


class Bytes(ctypes.Structure):
    """wasm_byte_vec_t."""

    _fields_ = (("size", c_size_t), ("data", c_void_p))


_P, _N = c_void_p, c_size_t
_SIGNATURES: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "wasm_config_new": (_P, ()),
    "wasm_engine_new_with_config": (_P, (_P,)),
    "wasm_engine_delete": (None, (_P,)),
    "wasmtime_engine_increment_epoch": (None, (_P,)),
    "wasmtime_module_new": (_P, (_P, c_char_p, _N, _P)),
    "wasmtime_module_serialize": (_P, (_P, _P)),
    "wasmtime_module_deserialize": (_P, (_P, c_char_p, _N, _P)),
    "wasmtime_module_delete": (None, (_P,)),
    "wasmtime_linker_new": (_P, (_P,)),
    "wasmtime_linker_delete": (None, (_P,)),
    "wasmtime_linker_define_func_unchecked": (_P, (_P, c_char_p, _N, c_char_p, _N, _P, HOST_CALLBACK, _P, _P)),
    "wasmtime_linker_instantiate_pre": (_P, (_P, _P, _P)),
    "wasmtime_instance_pre_instantiate": (_P, (_P, _P, _P, _P)),
    "wasmtime_instance_pre_delete": (None, (_P,)),
    "wasmtime_instance_export_get": (c_bool, (_P, _P, c_char_p, _N, _P)),
    "wasmtime_store_new": (_P, (_P, _P, _P)),
    "wasmtime_store_context": (_P, (_P,)),
    "wasmtime_store_limiter": (None, (_P, c_int64, c_int64, c_int64, c_int64, c_int64)),
    "wasmtime_store_delete": (None, (_P,)),
    "wasmtime_store_epoch_deadline_callback": (None, (_P, EPOCH_CALLBACK, _P, _P)),
    "wasmtime_context_set_epoch_deadline": (None, (_P, c_uint64)),
    "wasmtime_func_call_unchecked": (_P, (_P, _P, _P, _N, _P)),
    "wasmtime_memory_data": (_P, (_P, _P)),
    "wasmtime_memory_data_size": (_N, (_P, _P)),
    "wasmtime_trap_new": (_P, (c_char_p, _N)),
    "wasmtime_trap_code": (c_bool, (_P, _P)),
    "wasm_trap_message": (None, (_P, _P)),
    "wasm_trap_trace": (None, (_P, _P)),
    "wasm_trap_delete": (None, (_P,)),
    "wasm_frame_func_index": (c_uint32, (_P,)),
    "wasm_frame_module_offset": (_N, (_P,)),
    "wasmtime_frame_func_name": (POINTER(Bytes), (_P,)),
    "wasm_frame_vec_delete": (None, (_P,)),
    "wasmtime_error_new": (_P, (c_char_p,)),
    "wasmtime_error_message": (None, (_P, _P)),
    "wasmtime_error_wasm_trace": (None, (_P, _P)),
    "wasmtime_error_delete": (None, (_P,)),
    "wasm_byte_vec_delete": (None, (_P,)),
    "wasm_valtype_new": (_P, (c_uint8,)),
    "wasm_valtype_vec_new": (None, (_P, _N, _P)),
    "wasm_valtype_vec_new_empty": (None, (_P,)),
    "wasm_functype_new": (_P, (_P, _P)),
    "wasm_functype_delete": (None, (_P,)),
    "wasmtime_wat2wasm": (_P, (c_char_p, _N, _P)),
    **{
        f"wasmtime_config_{feature}_set": (None, (_P, c_bool))
        for feature in (
            "epoch_interruption",
            "wasm_threads",
            "shared_memory",
            "wasm_tail_call",
            "wasm_reference_types",
            "wasm_function_references",
            "wasm_gc",
            "gc_support",
            "wasm_simd",
            "wasm_relaxed_simd",
            "wasm_relaxed_simd_deterministic",
            "wasm_bulk_memory",
            "wasm_multi_value",
            "wasm_multi_memory",
            "wasm_memory64",
            "wasm_wide_arithmetic",
            "wasm_exceptions",
            "wasm_custom_page_sizes",
            "wasm_stack_switching",
            "parallel_compilation",
            "native_unwind_info",
            "memory_may_move",
        )
    },
    "wasmtime_config_max_wasm_stack_set": (None, (_P, _N)),
    "wasmtime_config_memory_reservation_set": (None, (_P, c_uint64)),
    "wasmtime_config_memory_guard_size_set": (None, (_P, c_uint64)),
    "wasmtime_config_cranelift_opt_level_set": (None, (_P, c_uint8)),
}


def _declared(library: Any) -> Any:
    for name, (result, arguments) in _SIGNATURES.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


RELEASED: Any = _declared(ctypes.CDLL(ffi.dll._name))  # noqa: SLF001 - the path of the library that the wheel brings
HELD: Any = _declared(ctypes.PyDLL(ffi.dll._name))  # noqa: SLF001 - as above


def taken(vector: Bytes) -> bytes:
    """Copy what a byte vector holds and delete it."""
    content = ctypes.string_at(vector.data, vector.size) if vector.size else b""
    HELD.wasm_byte_vec_delete(byref(vector))
    return content


def error_text(error: int) -> str:
    """Take an error's message and delete the error."""
    message = Bytes()
    HELD.wasmtime_error_message(error, byref(message))
    HELD.wasmtime_error_delete(error)
    return taken(message).decode(errors="replace").rstrip("\0")


def function_type(parameters: Sequence[Type], results: Sequence[Type]) -> int:
    """Make a function type; the caller deletes it."""
    vectors = []
    for types in (parameters, results):
        vector = Bytes()
        if types:
            array = (c_void_p * len(types))(*(HELD.wasm_valtype_new(int(each)) for each in types))
            HELD.wasm_valtype_vec_new(byref(vector), len(types), array)
        else:
            HELD.wasm_valtype_vec_new_empty(byref(vector))
        vectors.append(vector)
    return int(HELD.wasm_functype_new(byref(vectors[0]), byref(vectors[1])))
