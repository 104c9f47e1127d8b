"""Which revision a spec is: its images' tags are asked for once, and every node runs what they stood for then."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Iterable
from typing import Any, Protocol

from conductor.controller.counts import ControllerCounts
from conductor.controller.known import Known, name_of
from conductor.controller.queue import KeyQueue
from conductor.errors import ConductorError
from conductor.model.fleet import FleetKey
from conductor.model.fleet_rows import ProgramRow, content_of, digest_of, revision_of
from conductor.plan.backoff import pause_after
from conductor.plan.fleet_world import Unresolved, Wanted
from conductor.ports import Cluster

__all__ = ["Digests", "Resolver"]

log = logging.getLogger(__name__)
PATHS = (("bytecode", "image"), ("source", "wasm", "image"))
"""Where a spec names an image."""
AT_ONCE = 8
TOGETHER = 2.0
"""Seconds for which programs that came together wait for each other's images."""


class Digests(Protocol):
    """Registries, as the controller needs them (the Image Manager)."""

    async def resolve(self, url: str, *, pull_secret: str = "") -> str:
        """Answer the digest that a reference stands for now."""
        ...


class Resolver:
    """Make the revision that a spec wants, in tasks of its own: a slow registry holds up nobody else."""

    def __init__(
        self,
        *,
        cluster: Cluster,
        namespace: str,
        digests: Digests,
        known: Known,
        queue: KeyQueue,
        counts: ControllerCounts,
        group: asyncio.TaskGroup,
    ) -> None:
        self._cluster, self._namespace, self._digests = cluster, namespace, digests
        self._known, self._queue, self._counts, self._group = known, queue, counts, group
        self._running: dict[FleetKey, asyncio.Task[None]] = {}
        self._failures: dict[FleetKey, tuple[str, int, float]] = {}
        """Spec, failures in a row, and when it is tried again."""
        self._room = asyncio.Semaphore(AT_ONCE)

    async def begin(self, rows: Iterable[ProgramRow]) -> None:
        """Resolve what is due of these, and wait a little for those that are new."""
        now = asyncio.get_running_loop().time()
        for key in self._failures.keys() - self._known.programs.keys():
            del self._failures[key]
        fresh: list[asyncio.Task[None]] = []
        for row in rows:
            spec, _, due = self._failures.get(row.key, ("", 0, 0.0))
            if row.key in self._running or isinstance(self._known.wishes.get(row.key), Wanted):
                continue
            if spec == row.spec_hash and due > now:
                self._queue.add([row.key], after=due - now)
                continue
            task = self._group.create_task(self._resolve(row), name=f"resolve {row.key}")
            self._running[row.key] = task
            if spec != row.spec_hash:
                fresh.append(task)
        if fresh:
            await asyncio.wait(fresh, timeout=TOGETHER)

    async def _resolve(self, row: ProgramRow) -> None:
        try:
            async with self._room:
                await self._made(row)
            self._failures.pop(row.key, None)
            self._counts.resolved += 1
        except ConductorError as exc:
            self._failed(row, exc)
        finally:
            del self._running[row.key]
        self._queue.add([row.key])

    async def _made(self, row: ProgramRow) -> None:
        resource, name = name_of(row)
        document = await self._cluster.get(resource, name)
        content = content_of(row.kind, (document or {}).get("spec") or {})
        if digest_of(row.key, content) != row.spec_hash:
            return  # it was edited or deleted meanwhile: the watch tells
        content = await self._pinned(content)
        numbers = [found.number for found in self._known.revisions.values() if found.key == row.key]
        made, revision = revision_of(row, content, number=max(numbers, default=0) + 1, namespace=self._namespace)
        if (now := self._known.programs.get(row.key)) and now.spec_hash == row.spec_hash and now.uid == row.uid:
            self._known.wishes[row.key] = Wanted(row=made, document=revision)

    async def _pinned(self, content: dict[str, Any]) -> dict[str, Any]:
        """Answer a spec whose images have digests."""
        for path in PATHS:
            image: Any = content
            for name in path:
                image = image.get(name) if isinstance(image, dict) else None
            if not isinstance(image, dict) or image.get("digest") or "@" in image.get("url", "@"):
                continue
            digest = await self._digests.resolve(image["url"], pull_secret=image.get("pullSecret") or "")
            content = _with(content, path, {**image, "digest": digest})
        return content

    def _failed(self, row: ProgramRow, exc: ConductorError) -> None:
        spec, failures, _ = self._failures.get(row.key, ("", 0, 0.0))
        failures = failures + 1 if spec == row.spec_hash else 1
        pause = pause_after(exc, failures, random.random())  # noqa: S311 - spread, not secrecy
        self._failures[row.key] = row.spec_hash, failures, asyncio.get_running_loop().time() + pause
        self._counts.unresolved += 1
        log.warning("%s: its image is not resolved, next try in %.0f s: %s", row.key, pause, exc)
        if (now := self._known.programs.get(row.key)) and now.spec_hash == row.spec_hash:
            self._known.wishes[row.key] = Unresolved(message=str(exc))


def _with(content: dict[str, Any], path: tuple[str, ...], value: Any) -> dict[str, Any]:
    """Answer a copy with another value there."""
    name, *rest = path
    return {**content, name: _with(content[name], tuple(rest), value) if rest else value}
