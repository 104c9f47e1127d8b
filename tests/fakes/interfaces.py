"""In-memory `ports.InterfaceSource`: a list that a test edits; `change` tells those who watch."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from conductor.model.facts import Interface

__all__ = ["FakeInterfaces"]


class FakeInterfaces:
    """Interfaces of a namespace that does not exist."""

    def __init__(self, *interfaces: Interface) -> None:
        self._interfaces = interfaces
        self._changed = asyncio.Event()

    async def interfaces(self) -> tuple[Interface, ...]:
        return self._interfaces

    async def changes(self) -> AsyncIterator[None]:
        while True:
            await self._changed.wait()
            self._changed.clear()
            yield

    def change(self, *interfaces: Interface) -> None:
        """Have these from now on."""
        self._interfaces = interfaces
        self._changed.set()
