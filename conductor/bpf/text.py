"""Text for the kernel: what C would cut short is refused."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

from conductor.errors import InvalidSpec

__all__ = ["c_text"]


def c_text(text: str | Path, field: str) -> ctypes.Array[ctypes.c_char]:
    """Make a zero-terminated copy; keep it while its address is used. Raises `InvalidSpec` naming `field`."""
    try:
        data = os.fsencode(text)
    except UnicodeEncodeError as error:
        raise InvalidSpec(field, f"{str(text)[:80]!r} cannot be written as UTF-8") from error
    if b"\0" in data:
        raise InvalidSpec(field, f"{str(text)[:80]!r} contains a zero byte")
    return ctypes.create_string_buffer(data)
