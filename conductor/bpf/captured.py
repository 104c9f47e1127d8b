"""libbpf's own words, kept for the thread that made it speak; nothing reaches stderr.

libbpf has one print function per process and calls it on the thread that entered it, so a list per thread is enough.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from ctypes import c_int, c_void_p
from functools import cache

from conductor.bpf.library import function
from conductor.bpf.syscall import libc

__all__ = ["captured"]

_DEBUG = 2
_MOST = 16 << 20
"""Characters kept of one call: the longest verifier log that libbpf asks for."""
_listening = threading.local()
_vasprintf = libc.vasprintf
# The va_list arrives as a pointer on amd64 (an array) and arm64 (a large structure), and leaves as it came.
_vasprintf.argtypes = (ctypes.POINTER(c_void_p), c_void_p, c_void_p)
_free = libc.free
_free.argtypes = (c_void_p,)


@contextmanager
def captured() -> Iterator[list[str]]:
    """Collect warnings and information that libbpf prints on this thread, as lines."""
    _listen_once()
    outer = getattr(_listening, "lines", None)
    lines: list[str] = []
    _listening.lines = lines
    try:
        yield lines
    finally:
        _listening.lines = outer


def _hear(level: int, form: int, arguments: int) -> int:
    lines: list[str] | None = getattr(_listening, "lines", None)
    if lines is None or level >= _DEBUG:
        return 0
    text = c_void_p()
    if _vasprintf(ctypes.byref(text), form, arguments) < 0:
        return 0
    try:
        said = ctypes.string_at(text.value or 0, -1)[:_MOST]
    finally:
        _free(text)
    lines.extend(said.decode(errors="replace").splitlines())
    return 0


_HEAR = ctypes.CFUNCTYPE(c_int, c_int, c_void_p, c_void_p)(_hear)


@cache
def _listen_once() -> None:
    function("libbpf_set_print")(ctypes.cast(_HEAR, c_void_p))
