"""What is wished, by source: on disk first, then in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from contextlib import suppress

from conductor.errors import BudgetExceeded, StateUnwritable
from conductor.managers.wishes import WishFiles
from conductor.model.ids import Name
from conductor.model.program import Source
from conductor.plan.merge import Key, Merged, Wish, merge

__all__ = ["WishBook"]

MOST_WISHES = 5000


class WishBook:
    """Own the wishes: an edit is durable before anyone acts on it, and one that is refused leaves nothing behind."""

    def __init__(self, *, files: WishFiles) -> None:
        self._files = files
        self._lock = asyncio.Lock()
        self._wishes: dict[Source, Mapping[Key, Wish]] = {source: {} for source in Source}
        self.stopped: frozenset[Name] = frozenset()
        self.merged = merge(self._wishes)
        self.problems: tuple[str, ...] = ()

    async def read(self) -> Merged:
        """Read what was wished before."""
        stored = await asyncio.to_thread(self._files.read)
        self._wishes = dict(stored.wishes)
        self.stopped, self.problems = stored.stopped, stored.problems
        self.merged = merge(self._wishes)
        return self.merged

    def of(self, source: Source) -> Mapping[Key, Wish]:
        """Answer one source's wishes."""
        return self._wishes[source]

    async def edit(self, source: Source, *, put: Mapping[Key, Wish] | None = None, drop: Collection[Key] = ()) -> None:
        """Change one source's wishes, all at once. Raises `StateUnwritable`, `BudgetExceeded`."""
        async with self._lock:
            kept = {key: wish for key, wish in self._wishes[source].items() if key not in drop} | dict(put or {})
            if len(kept) > MOST_WISHES:
                raise BudgetExceeded(f"source {source.word} may hold {MOST_WISHES} programs; unload some")
            if kept == self._wishes[source]:
                return
            await asyncio.to_thread(self._files.write, source, kept)
            self._wishes[source] = kept
            self.merged = merge(self._wishes)
        await self._forget_stopped()

    async def stop(self, name: Name, *, stopped: bool) -> None:
        """Remember that a person stopped a program, or started it. Raises `StateUnwritable`."""
        async with self._lock:
            await self._set_stopped(self.stopped | {name} if stopped else self.stopped - {name})

    async def _forget_stopped(self) -> None:
        """Drop what was stopped and is wished no more; a disk that refuses this loses nothing."""
        async with self._lock:
            with suppress(StateUnwritable):
                await self._set_stopped(self.stopped & {name for _, name in self.merged.held})

    async def _set_stopped(self, stopped: frozenset[Name]) -> None:
        if stopped != self.stopped:
            await asyncio.to_thread(self._files.write_stopped, stopped)
            self.stopped = stopped
