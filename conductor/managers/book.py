"""What is wished, by source: on disk first, then in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterator, Mapping
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
        self.moved = asyncio.Event()
        """Set at every change; cleared by the one who follows the wishes for their images."""

    async def read(self) -> Merged:
        """Read what was wished before."""
        stored = await asyncio.to_thread(self._files.read)
        self._wishes = dict(stored.wishes)
        self.stopped, self.problems = stored.stopped, stored.problems
        self.merged = merge(self._wishes)
        self.moved.set()
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
            self._take(source, kept)
        await self._forget_stopped()

    async def swap(self, source: Source, key: Key, old: Wish, new: Wish) -> bool:
        """Put `new` where `old` still is; answer whether it was. Raises `StateUnwritable`."""
        async with self._lock:
            if self._wishes[source].get(key) is not old:
                return False
            kept = {**self._wishes[source], key: new}
            await asyncio.to_thread(self._files.write, source, kept)
            self._take(source, kept)
            return True

    def wishes(self) -> Iterator[Wish]:
        """Tell every wish of every source, those that lost their names too."""
        for wishes in self._wishes.values():
            yield from wishes.values()

    def _take(self, source: Source, kept: Mapping[Key, Wish]) -> None:
        self._wishes[source] = kept
        self.merged = merge(self._wishes)
        self.moved.set()

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
