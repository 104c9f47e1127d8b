"""Local files in chunks that fit a message."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator
from pathlib import Path

from conductor.errors import ObjectUnreadable

__all__ = ["CHUNK", "chunks_of"]

CHUNK = 1 << 20


async def chunks_of(source: Path | bytes | AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    """Cut bytes, a file or a stream into chunks. Raises `ObjectUnreadable`."""
    if isinstance(source, bytes):
        for start in range(0, len(source), CHUNK):
            yield source[start : start + CHUNK]
    elif isinstance(source, Path):
        async for chunk in _file(source):
            yield chunk
    else:
        async for data in source:
            async for chunk in chunks_of(data):
                yield chunk


async def _file(path: Path) -> AsyncIterator[bytes]:
    try:
        with await asyncio.to_thread(path.open, "rb") as file:
            while chunk := await asyncio.to_thread(file.read, CHUNK):
                yield chunk
    except OSError as error:
        raise ObjectUnreadable(f"{path}: {error.strerror}") from error
