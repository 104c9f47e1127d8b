"""RPCs that take manifests. Reading YAML is slow work: a thread does it, the loop goes on."""

from __future__ import annotations

import asyncio

from typing_extensions import override

from conductor.api import wire
from conductor.api.manifests import change_of, keys_of, specs_of
from conductor.api.parts import Programs
from conductor.model.agent import Applied
from conductor.proto.agent import v1 as pb

__all__ = ["ManifestCalls"]


class ManifestCalls(pb.AgentBase):
    """Apply and Delete, for real or as a dry run."""

    _programs: Programs

    @override
    async def apply(self, apply_request: pb.ApplyRequest) -> pb.ApplyResponse:
        specs = await asyncio.to_thread(specs_of, apply_request.manifest)
        return await _answer(await self._programs.apply(specs, dry_run=apply_request.dry_run))

    @override
    async def delete(self, delete_request: pb.DeleteRequest) -> pb.ApplyResponse:
        keys = await asyncio.to_thread(keys_of, delete_request.manifest)
        return await _answer(await self._programs.delete(keys, dry_run=delete_request.dry_run))


async def _answer(applied: tuple[Applied, ...]) -> pb.ApplyResponse:
    changes = await asyncio.to_thread(lambda: [change_of(one) for one in applied])
    return pb.ApplyResponse(results=[wire.change_to_wire(change) for change in changes])
