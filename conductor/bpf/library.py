"""libbpf by ctypes: found by its soname, opened once, its prototypes declared."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from ctypes import POINTER, c_bool, c_char_p, c_int, c_size_t, c_uint32, c_void_p
from functools import cache
from typing import Any

from conductor.errors import LibraryMissing, NotSupported

__all__ = ["PACKAGE", "function", "libbpf", "libbpf_version"]

PACKAGE = "the Debian and Ubuntu package libbpf1 (Fedora: libbpf), version 1.1 or newer"
_PROTOTYPES: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "libbpf_set_print": (c_void_p, (c_void_p,)),
    "bpf_object__open_mem": (c_void_p, (c_void_p, c_size_t, c_void_p)),
    "bpf_object__load": (c_int, (c_void_p,)),
    "bpf_object__close": (None, (c_void_p,)),
    "bpf_object__next_program": (c_void_p, (c_void_p, c_void_p)),
    "bpf_object__next_map": (c_void_p, (c_void_p, c_void_p)),
    "bpf_object__find_map_by_name": (c_void_p, (c_void_p, c_char_p)),
    "bpf_program__name": (c_char_p, (c_void_p,)),
    "bpf_program__section_name": (c_char_p, (c_void_p,)),
    "bpf_program__type": (c_int, (c_void_p,)),
    "bpf_program__set_type": (c_int, (c_void_p, c_int)),
    "bpf_program__expected_attach_type": (c_int, (c_void_p,)),
    "bpf_program__set_expected_attach_type": (c_int, (c_void_p, c_int)),
    "bpf_program__set_attach_target": (c_int, (c_void_p, c_int, c_char_p)),
    "bpf_program__set_autoload": (c_int, (c_void_p, c_bool)),
    "bpf_program__autoload": (c_bool, (c_void_p,)),
    "bpf_program__fd": (c_int, (c_void_p,)),
    "bpf_map__name": (c_char_p, (c_void_p,)),
    "bpf_map__type": (c_int, (c_void_p,)),
    "bpf_map__key_size": (c_uint32, (c_void_p,)),
    "bpf_map__value_size": (c_uint32, (c_void_p,)),
    "bpf_map__max_entries": (c_uint32, (c_void_p,)),
    "bpf_map__set_max_entries": (c_int, (c_void_p, c_uint32)),
    "bpf_map__is_internal": (c_bool, (c_void_p,)),
    "bpf_map__pin_path": (c_char_p, (c_void_p,)),
    "bpf_map__set_pin_path": (c_int, (c_void_p, c_char_p)),
    "bpf_map__initial_value": (c_void_p, (c_void_p, POINTER(c_size_t))),
    "bpf_map__reuse_fd": (c_int, (c_void_p, c_int)),
    "bpf_map__fd": (c_int, (c_void_p,)),
    "libbpf_find_vmlinux_btf_id": (c_int, (c_char_p, c_int)),
    "bpf_tc_hook_create": (c_int, (c_void_p,)),
    "bpf_tc_hook_destroy": (c_int, (c_void_p,)),
    "bpf_tc_attach": (c_int, (c_void_p, c_void_p)),
    "bpf_tc_detach": (c_int, (c_void_p, c_void_p)),
    "bpf_tc_query": (c_int, (c_void_p, c_void_p)),
}


@cache
def libbpf() -> ctypes.CDLL:
    """Open libbpf.so.1 once. Raises `LibraryMissing` with the package to install."""
    try:
        library = ctypes.CDLL("libbpf.so.1", use_errno=True)
    except OSError as error:
        raise LibraryMissing(f"libbpf.so.1 cannot be opened ({error}); install {PACKAGE}") from error
    for name, (answer, arguments) in _PROTOTYPES.items():
        symbol = getattr(library, name, None)
        if symbol is not None:
            symbol.restype, symbol.argtypes = answer, arguments
    return library


def function(name: str) -> Callable[..., Any]:
    """Return a declared function of libbpf. Raises `NotSupported` where this libbpf lacks it."""
    symbol: Callable[..., Any] | None = getattr(libbpf(), name, None)
    if symbol is None:
        major, minor = libbpf_version()
        raise NotSupported(f"libbpf {major}.{minor} has no {name}; install {PACKAGE}")
    return symbol


def libbpf_version() -> tuple[int, int]:
    """Return (major, minor). Raises `LibraryMissing`."""
    library = libbpf()
    return int(library.libbpf_major_version()), int(library.libbpf_minor_version())
