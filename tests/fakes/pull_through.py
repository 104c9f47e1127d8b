"""A mirror that fetches from an upstream what it was not asked before, once however many ask: a pull-through cache.

It models what registries in that mode do for pulls of manifests and blobs; pushes and referrers it leaves to its parent.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import dataclass, field

from aiohttp import ClientSession, web
from typing_extensions import override

from tests.fakes.registry import FakeRegistry

__all__ = ["PullThrough"]


@dataclass
class PullThrough(FakeRegistry):
    """`upstream` is HOST:PORT."""

    upstream: str = ""
    locks: defaultdict[str, asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock))

    @override
    async def _manifest(self, request: web.Request, repository: str, name: str) -> web.StreamResponse:
        async with self.locks[f"{repository}:{name}"]:
            if (repository, name) not in self.manifests:
                type_, body = await self._fetch(f"{repository}/manifests/{name}")
                self.put_manifest(repository, name, body, type_)
        return await super()._manifest(request, repository, name)

    @override
    async def _blob(self, request: web.Request, _repository: str, name: str) -> web.StreamResponse:
        async with self.locks[name]:
            if name not in self.blobs:
                self.put_blob((await self._fetch(f"{_repository}/blobs/{name}"))[1])
        return await super()._blob(request, _repository, name)

    async def _fetch(self, path: str) -> tuple[str, bytes]:
        async with ClientSession() as session, session.get(f"http://{self.upstream}/v2/{path}") as answer:
            answer.raise_for_status()
            return answer.content_type, await answer.read()
