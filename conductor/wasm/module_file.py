"""Files of modules: read whole, held to their digest, and asked what they declare."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path

from conductor.errors import ModuleUnusable, ObjectUnreadable
from conductor.wasm.anatomy import examine
from conductor.wasm.needs import Needs
from conductor.wasm.settings import MODULE_BYTES

__all__ = ["module_needs", "read_module"]


def read_module(path: str, digest: str) -> bytes:
    """Read a module. Raises `ObjectUnreadable` where it is not there, too large, or not what its digest says."""
    try:
        content = Path(path).read_bytes() if Path(path).stat().st_size <= 2 * MODULE_BYTES else b""
    except OSError as exc:
        raise ObjectUnreadable(f"{path}: {exc.strerror}") from exc
    if not content:
        raise ObjectUnreadable(f"{path} is empty, or larger than any module may be ({MODULE_BYTES >> 20} MiB)")
    if digest and f"sha256:{hashlib.sha256(content).hexdigest()}" != digest:
        raise ObjectUnreadable(f"{path} is not what its digest says ({digest}); load it again")
    return content


async def module_needs(path: Path, digest: str) -> Needs:
    """Answer what a module declares (`ports.ModuleReader`), off the event loop; nothing is compiled or run.

    Raises `ObjectUnreadable` where the file is not what it should be, `ModuleUnusable` and `InvalidSpec` for a module
    that is and will not run.
    """
    return await asyncio.to_thread(_needs_of, path, digest)


def _needs_of(path: Path, digest: str) -> Needs:
    content = read_module(str(path), digest)
    try:
        return examine(content).needs
    except ObjectUnreadable as exc:
        raise ModuleUnusable(str(exc)) from exc
