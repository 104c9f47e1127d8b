"""Events out of a stream's bytes: one JSON document a line."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

from conductor.errors import BudgetExceeded, ClusterAway

__all__ = ["events"]

LONGEST = 16 << 20
"""Bytes of one event; etcd takes objects of 1.5 MiB."""


async def events(chunks: AsyncIterator[bytes], silence: float) -> AsyncGenerator[dict[str, Any]]:
    """Answer each whole line; what a broken stream left of one is dropped, and comes again with the next stream.

    Ends where the stream does, or when nothing came for `silence` seconds. Raises `ClusterAway` where it breaks, or
    what came is no event.
    """
    rest = bytearray()
    async for chunk in _unless_silent(chunks, silence):
        rest += chunk
        if (end := rest.rfind(b"\n")) < 0:
            if len(rest) > LONGEST:
                raise BudgetExceeded(f"an object in a watch is larger than {LONGEST >> 20} MiB")
            continue
        lines = bytes(rest[:end]).split(b"\n")
        del rest[: end + 1]
        for line in lines:
            if line:
                yield _event(line)


def _event(line: bytes) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError:
        found = None
    if not isinstance(found, dict) or not isinstance(found.get("object"), dict):
        raise ClusterAway("the API server's watch sent what is no event")
    return found


async def _unless_silent(chunks: AsyncIterator[bytes], silence: float) -> AsyncIterator[bytes]:
    while True:
        try:
            async with asyncio.timeout(silence):
                chunk = await anext(chunks)
        except (StopAsyncIteration, TimeoutError):
            return
        yield chunk
