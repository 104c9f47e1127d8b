"""How guests are compiled and what a module may hold: constants that the compiling child and the host share.

Whatever is here is part of the code cache's key: a change makes old compiled code invisible.
"""

from __future__ import annotations

from typing import Final

__all__ = [
    "CODE_BYTES",
    "COMPILE_BYTES",
    "COMPILE_CPU_SECONDS",
    "COMPILE_SECONDS",
    "FEATURES",
    "MEMORY_GUARD",
    "MEMORY_RESERVATION",
    "MODULE_BYTES",
    "NUMBERS",
    "key_text",
]

FEATURES: Final = {
    "epoch_interruption": True,
    "wasm_bulk_memory": True,
    "wasm_multi_value": True,
    "wasm_reference_types": True,
    "wasm_simd": True,
    "wasm_relaxed_simd": False,
    "wasm_threads": False,
    "shared_memory": False,
    "wasm_tail_call": False,
    "wasm_function_references": False,
    "wasm_gc": False,
    "gc_support": False,
    "wasm_multi_memory": False,
    "wasm_memory64": False,
    "wasm_wide_arithmetic": False,
    "wasm_exceptions": False,
    "wasm_custom_page_sizes": False,
    "wasm_stack_switching": False,
    "parallel_compilation": False,
    "memory_may_move": False,
}
"""Every feature that wasmtime knows, by name: none is left to its defaults."""
NUMBERS: Final = {"max_wasm_stack": 512 << 10}
MEMORY_RESERVATION: Final = 4 << 30
"""Address space alone: bounds checks fall away, and memory never moves. 1,000 instances take 4 of 128 TiB."""
MEMORY_GUARD: Final = 32 << 20

MODULE_BYTES: Final = 32 << 20
CODE_BYTES: Final = 256 << 20
COMPILE_CPU_SECONDS: Final = 20
COMPILE_SECONDS: Final = 25.0
COMPILE_BYTES: Final = 1 << 30
"""Address space of the compiling child."""


def key_text(engine_version: str) -> str:
    """Everything besides the module itself that compiled code depends on."""
    return repr((engine_version, sorted(FEATURES.items()), sorted(NUMBERS.items()), MEMORY_RESERVATION, MEMORY_GUARD))
