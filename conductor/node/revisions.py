"""Revisions: what a program is, by a name that never means anything else; each is fetched once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from conductor.errors import ConductorError, PathNotAllowed, RevisionMissing, RevisionUnusable
from conductor.model.fleet import CONTROLLER_REVISIONS, Assignment, FleetKey
from conductor.model.fleet_rows import digest_of
from conductor.model.kernel import KernelProgramSpec, PathObject
from conductor.model.manifest import parse_manifest
from conductor.model.program import ProgramSpec, WasmSource
from conductor.node.copy import NodeCopy
from conductor.ports import Cluster

__all__ = ["Revisions", "Specs", "spec_of"]

AT_ONCE = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Specs:
    """What assignments came to."""

    good: dict[FleetKey, ProgramSpec] = field(default_factory=dict)
    refused: dict[FleetKey, ConductorError] = field(default_factory=dict)


class Revisions:
    """Own the specs of what is assigned: from memory, else from the local copy, else from the API server."""

    def __init__(self, *, cluster: Cluster, namespace: str, copy: NodeCopy, allow_paths: bool) -> None:
        self._cluster, self._namespace = cluster, namespace
        self._copy, self._allow_paths = copy, allow_paths
        self._known: dict[str, ProgramSpec] = {}
        self.fetched = 0
        """Revisions read from the API server."""

    async def specs(self, assignments: Sequence[Assignment], *, fetch: bool) -> Specs:
        """Answer the specs, and why there is none for the rest; without `fetch` the API server is not asked."""
        specs = Specs()
        turns = asyncio.Semaphore(AT_ONCE)

        async def one(assignment: Assignment) -> None:
            try:
                async with turns:
                    specs.good[assignment.key] = await self._spec(assignment, fetch=fetch)
            except ConductorError as exc:
                specs.refused[assignment.key] = exc

        async with asyncio.TaskGroup() as group:
            for assignment in assignments:
                group.create_task(one(assignment), name=f"revision:{assignment.revision}")
        return specs

    async def collect(self, assignments: Sequence[Assignment]) -> None:
        """Forget what is not assigned."""
        names = {assignment.revision for assignment in assignments}
        self._known = {name: spec for name, spec in self._known.items() if name in names}
        await asyncio.to_thread(self._copy.collect, names)

    async def _spec(self, assignment: Assignment, *, fetch: bool) -> ProgramSpec:
        if (known := self._known.get(assignment.revision)) is not None:
            return known
        kept = await asyncio.to_thread(self._copy.revision, assignment.revision)
        if kept is not None and _fits(assignment, kept):
            data = kept
        elif fetch:
            data = await self._fetch(assignment)
        else:
            raise RevisionMissing(f"revision {assignment.revision} is not here, and the API server is away")
        spec = self._known[assignment.revision] = spec_of(data, allow_paths=self._allow_paths)
        return spec

    async def _fetch(self, assignment: Assignment) -> dict[str, Any]:
        name = assignment.revision
        document = await self._cluster.get(CONTROLLER_REVISIONS, name, namespace=self._namespace)
        if document is None:
            raise RevisionMissing(f"revision {self._namespace}/{name} is not at the API server; it is looked for again")
        self.fetched += 1
        data = document.get("data")
        if not isinstance(data, dict) or not _fits(assignment, data):
            raise RevisionUnusable(f"revision {self._namespace}/{name} is not what its hash says; delete it")
        await asyncio.to_thread(self._copy.keep, name, data)
        return data


def spec_of(data: dict[str, Any], *, allow_paths: bool) -> ProgramSpec:
    """Read a revision's data. Raises `InvalidSpec`, `PathNotAllowed`."""
    spec = parse_manifest(data)
    location: object = spec.bytecode if isinstance(spec, KernelProgramSpec) else None
    if not isinstance(spec, KernelProgramSpec) and isinstance(spec.source, WasmSource):
        location = spec.source.location
    if isinstance(location, PathObject) and not allow_paths:
        raise PathNotAllowed(
            f"{location.path or location.digest}: this node takes no files of its own disk from the cluster; "
            "use an image or a builtin, or start its agent with --allow-cluster-paths"
        )
    return spec


def _fits(assignment: Assignment, data: dict[str, Any]) -> bool:
    """Whether these are the bytes that the leader meant."""
    spec, metadata = data.get("spec"), data.get("metadata")
    if not isinstance(spec, dict) or not isinstance(metadata, dict):
        return False
    named = FleetKey(str(data.get("kind")), str(metadata.get("name")))
    return named == assignment.key and digest_of(assignment.key, spec) == assignment.hash
