"""Watchers of programs: one reader of the bus, one bounded queue per watcher, so that a slow one harms nobody."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field

from conductor.api.scope import task_group
from conductor.errors import BudgetExceeded, ConductorError, NotFound
from conductor.managers.bus import Bus
from conductor.model.agent import WatchEvent, WatchType
from conductor.model.events import ImagePulling, ProgramChanged, ProgramGone
from conductor.model.ids import Name
from conductor.model.image import PullProgress
from conductor.model.status import ProgramStatus

__all__ = ["Selection", "Watchers"]

MAX_WATCHERS = 64
QUEUE = 1024
"""Changes that one watcher may be behind."""
_BUS_QUEUE = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which programs: by name and by metadata that must all be equal; empty selects all."""

    name: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    pulls: bool = False
    """Whether the progress of pulls is told too."""

    def has(self, status: ProgramStatus) -> bool:
        """Whether a program is selected."""
        labels = status.spec.metadata
        return self.name in ("", status.name) and all(labels.get(k) == v for k, v in self.metadata.items())


class _Watcher:
    def __init__(self, *, selection: Selection, present: tuple[ProgramStatus, ...]) -> None:
        self._selection = selection
        self._present = tuple(status for status in present if selection.has(status))
        self._known = {status.name: status for status in self._present}
        self._queue: asyncio.Queue[WatchEvent] = asyncio.Queue(QUEUE)
        self._end: ConductorError | None = None

    def tell(self, name: Name, status: ProgramStatus | None) -> None:
        """Queue what changed for this watcher; None: the program is gone."""
        before = self._known.get(name)
        if status is None or not self._selection.has(status):
            self._known.pop(name, None)
            if before is not None:
                self._put(WatchEvent(type=WatchType.DELETED, status=before))
        elif status != before:
            self._known[name] = status
            self._put(WatchEvent(type=WatchType.ADDED if before is None else WatchType.MODIFIED, status=status))

    def tell_pull(self, progress: PullProgress) -> None:
        """Queue how far a pull is, for one who asked; a word that finds no room is left out, the next tells as much."""
        if self._selection.pulls and self._queue.qsize() < QUEUE // 2:
            self._put(WatchEvent(type=WatchType.PULLING, progress=progress))

    def end(self, error: ConductorError) -> None:
        """Let the watcher go."""
        self._end = self._end or error
        if self._queue.empty():
            self._queue.put_nowait(WatchEvent(type=WatchType.SYNCED))  # wakes the reader; it is never told

    async def events(self) -> AsyncIterator[WatchEvent]:
        for status in self._present:
            yield WatchEvent(type=WatchType.ADDED, status=status)
        yield WatchEvent(type=WatchType.SYNCED)
        while self._end is None:
            event = await self._queue.get()
            if self._end is None:
                yield event
        raise self._end

    def _put(self, event: WatchEvent) -> None:
        if self._end is None and self._queue.full():
            self.end(BudgetExceeded(f"this watcher is {QUEUE} changes behind: watch again, and read faster"))
        if self._end is None:
            self._queue.put_nowait(event)


class Watchers:
    """Own all watchers of this agent."""

    def __init__(
        self, *, bus: Bus, get: Callable[[Name], ProgramStatus], observed: Callable[[], tuple[ProgramStatus, ...]]
    ) -> None:
        self._bus, self._get, self._observed = bus, get, observed
        self._watchers: set[_Watcher] = set()

    @classmethod
    @asynccontextmanager
    async def running(
        cls, *, bus: Bus, get: Callable[[Name], ProgramStatus], observed: Callable[[], tuple[ProgramStatus, ...]]
    ) -> AsyncIterator[Watchers]:
        """Listen to the bus until the scope ends."""
        self = cls(bus=bus, get=get, observed=observed)
        async with task_group() as group:
            task = group.create_task(self._listen(), name="watchers")
            try:
                yield self
            finally:
                task.cancel()

    def __len__(self) -> int:
        return len(self._watchers)

    @contextmanager
    def watching(self, selection: Selection) -> Iterator[AsyncIterator[WatchEvent]]:
        """Tell the present, SYNCED, then every change. Raises `BudgetExceeded` when there are too many watchers."""
        if len(self._watchers) >= MAX_WATCHERS:
            raise BudgetExceeded(f"{MAX_WATCHERS} watchers are there already: end one")
        watcher = _Watcher(selection=selection, present=self._observed())
        self._watchers.add(watcher)
        try:
            yield watcher.events()
        finally:
            self._watchers.discard(watcher)

    async def _listen(self) -> None:
        while True:
            try:
                with self._bus.subscribe(_BUS_QUEUE) as events:
                    async for event in events:
                        if isinstance(event, ProgramChanged | ProgramGone):
                            self._tell(event.name)
                        elif isinstance(event, ImagePulling):
                            for watcher in self._watchers:
                                watcher.tell_pull(event.progress)
            except BudgetExceeded as error:  # the bus let us go: what was missed nobody knows
                for watcher in self._watchers:
                    watcher.end(error)

    def _tell(self, name: Name) -> None:
        try:
            status = self._get(name)
        except NotFound:
            status = None
        for watcher in self._watchers:
            watcher.tell(name, status)
