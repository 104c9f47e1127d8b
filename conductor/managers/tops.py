"""Who stands above the owners of pods: asked for once each, slowly, and remembered."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from conductor.errors import ConductorError
from conductor.model.cluster import Key
from conductor.model.facts import Claim, Owner, Workload

__all__ = ["Asker", "Tops"]

Asker: TypeAlias = tuple[str, Key]
"""An object by what is watched and its name."""
MOST_KNOWN = 20_000
MOST_WAITING = 20_000
AT_ONCE = 4
PAUSE_SECONDS = 0.2
"""Between two questions of one asker: at most 20 a second from an agent."""
AGAIN_SECONDS = 15.0
TRIES = 8


class Tops:
    """Own the answers. Until there is one, the owner itself stands for its top."""

    def __init__(self, *, ask: Callable[[Owner], Awaitable[Workload]]) -> None:
        self._ask = ask
        self._known: OrderedDict[Owner, Workload] = OrderedDict()
        self._waiting: dict[Owner, set[Asker]] = {}
        """Who is to be told, by whom is asked for."""
        self._asked_by: dict[Asker, Owner] = {}
        self._queue: asyncio.Queue[tuple[Owner, int]] = asyncio.Queue(MOST_WAITING)
        self.given_up = 0
        """Owners whose top could not be found out: they stand for themselves."""

    def known(self, claim: Claim, asker: Asker | None = None) -> Workload:
        """Answer the top of a claim as far as it is known; an asker is told later where it is not."""
        owner = claim.asks
        if asker is not None and self._asked_by.get(asker) not in (None, owner):
            self.forget(asker)
        if owner is None:
            return claim.workload
        found = self._known.get(owner)
        if found is None and asker is not None:
            self._wait(owner, asker)
        return found or claim.workload

    def forget(self, asker: Asker) -> None:
        """Take that nobody asks for it there any more."""
        owner = self._asked_by.pop(asker, None)
        if owner is not None and owner in self._waiting:
            self._waiting[owner].discard(asker)

    async def run(self, found: Callable[[Asker, Workload], None]) -> None:
        """Ask for what is waited for, and tell those who wait; runs for ever."""
        async with asyncio.TaskGroup() as group:
            for number in range(AT_ONCE):
                group.create_task(self._work(found), name=f"facts: owners {number}")

    async def _work(self, found: Callable[[Asker, Workload], None]) -> None:
        loop = asyncio.get_running_loop()
        while True:
            owner, tries = await self._queue.get()
            if not self._waiting.get(owner):
                self._waiting.pop(owner, None)  # its pods went meanwhile
                continue
            try:
                top = await self._ask(owner)
            except ConductorError as exc:
                if exc.retry and tries < TRIES:
                    loop.call_later(AGAIN_SECONDS, self._enqueue, owner, tries + 1)
                    continue
                self.given_up += 1
                top = Workload(kind=owner.kind, name=owner.name, namespace=owner.namespace)
            self._keep(owner, top)
            for asker in self._waiting.pop(owner, ()):
                self._asked_by.pop(asker, None)
                found(asker, top)
            await asyncio.sleep(PAUSE_SECONDS)

    def _wait(self, owner: Owner, asker: Asker) -> None:
        self._asked_by[asker] = owner
        is_new = owner not in self._waiting
        self._waiting.setdefault(owner, set()).add(asker)
        if is_new:
            self._enqueue(owner, 1)

    def _enqueue(self, owner: Owner, tries: int) -> None:
        try:
            self._queue.put_nowait((owner, tries))
        except asyncio.QueueFull:
            self.given_up += 1
            for asker in self._waiting.pop(owner, ()):
                self._asked_by.pop(asker, None)

    def _keep(self, owner: Owner, top: Workload) -> None:
        self._known[owner] = top
        if len(self._known) > MOST_KNOWN:
            self._known.popitem(last=False)
