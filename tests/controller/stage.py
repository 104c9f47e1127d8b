"""A cluster with people, agents and leaders: the fake in virtual time, or the real API server, by the same words."""

from __future__ import annotations

import asyncio
import base64
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

from conductor.controller.control import control
from conductor.controller.counts import ControllerCounts
from conductor.errors import ClusterConflict, ImageNotFound, LeadershipLost, NotFound
from conductor.kube.cluster import Cluster
from conductor.kube.fence import Fence
from conductor.model.cluster import Document, Put
from conductor.model.fleet import (
    CONTROLLER_REVISIONS,
    NODE_STATES,
    NODES,
    RESOURCES,
    USER_PROGRAM,
    AgentReport,
    Assignment,
    FleetKey,
    NodeStateRow,
    ProgramReport,
)
from conductor.model.fleet_status import FleetStatus, Phase
from conductor.model.status import State

__all__ = ["QUICK", "Registry", "Stage", "a_spec"]

QUICK: Document = {"canary": 1, "soak": "0s"}
UNIX = 1_700_000_000.0


def a_spec(version: str, kind: str = USER_PROGRAM, *, image: str = "", **more: Any) -> Document:
    """A spec whose version the simulated agents can tell."""
    if kind == USER_PROGRAM:
        source: Document = {"wasm": {"image": {"url": image}}} if image else {"builtin": "tcp_retransmits"}
        return {"source": source, "config": {"version": version}, "updateStrategy": QUICK, **more}
    link = {"name": "on_enter", "type": "TracePoint", "tracepoint": {"links": [{"name": "raw_syscalls/sys_enter"}]}}
    data = {"version": base64.b64encode(version.encode()).decode()}
    bytecode: Document = {"image": {"url": image}} if image else {"builtin": "tcp_retransmits"}
    return {"bytecode": bytecode, "globalData": data, "programs": [link], "updateStrategy": QUICK, **more}


class Registry:
    """Tags and what they stand for."""

    def __init__(self) -> None:
        self.tags: dict[str, str] = {}
        self.asked: list[tuple[str, str]] = []

    async def resolve(self, url: str, *, pull_secret: str = "") -> str:
        self.asked.append((url, pull_secret))
        await asyncio.sleep(0.01)
        if url not in self.tags:
            raise ImageNotFound(f"{url} is not there; push it")
        return self.tags[url]


class Stage:
    """What happens on it. `admin` may do everything; `bad` are nodes (or "*") with versions that they refuse."""

    def __init__(
        self, *, admin: Cluster, client: Callable[[str], Cluster], namespace: str, wall: Callable[[], float]
    ) -> None:
        self.admin, self._client, self.namespace, self.wall = admin, client, namespace, wall
        self.registry = Registry()
        self.bad: set[tuple[str, str]] = set()
        self.silent: set[str] = set()
        """Nodes whose agents say nothing."""
        self.counts: dict[str, ControllerCounts] = {}
        self.reports: Counter[str] = Counter()
        """Statuses that agents wrote, by node."""

    @classmethod
    def virtual(cls, admin: Cluster, client: Callable[[str], Cluster]) -> Stage:
        """Have it in virtual time."""
        wall = lambda: UNIX + asyncio.get_running_loop().time()  # noqa: E731
        return cls(admin=admin, client=client, namespace="default", wall=wall)

    # --- people and nodes ---------------------------------------------------------------------------------------------

    async def apply(self, key: FleetKey, spec: Document) -> None:
        """As `kubectl apply` does."""
        resource = RESOURCES[key.kind]
        try:
            await self.admin.patch(resource, key.name, {"spec": await self._replacing(key, spec)})
        except NotFound:
            api = {"apiVersion": "ebpfconductor.io/v1alpha1", "kind": key.kind, "metadata": {"name": key.name}}
            await self.admin.create(resource, {**api, "spec": spec})

    async def _replacing(self, key: FleetKey, spec: Document) -> Document:
        found = await self.admin.get(RESOURCES[key.kind], key.name) or {}
        return {**dict.fromkeys(found.get("spec") or {}), **spec}

    async def delete(self, key: FleetKey) -> None:
        await self.admin.delete(RESOURCES[key.kind], key.name)

    async def join(self, *names: str, **labels: str) -> None:
        for name in names:
            metadata = {"name": name, "labels": labels}
            await self.admin.create(NODES, {"apiVersion": "v1", "kind": "Node", "metadata": metadata})

    async def leave(self, name: str) -> None:
        await self.admin.delete(NODES, name)

    async def ready(self, name: str, ready: bool) -> None:
        status = {"conditions": [{"type": "Ready", "status": "True" if ready else "Unknown"}]}
        await self.admin.patch(NODES, name, {"status": status}, subresource="status")

    # --- leaders and agents -------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def leading(self, who: str = "n1", **settings: float) -> AsyncIterator[Fence]:
        """Have a controller while the body runs; closing the fence is losing the lease."""
        fence = Fence(until=float("inf"))
        counts = self.counts.setdefault(who, ControllerCounts())
        cluster = self._client(who).fenced(fence)

        async def work() -> None:
            with suppress(LeadershipLost):
                await control(
                    cluster,
                    namespace=self.namespace,
                    node=who,
                    images=self.registry,
                    wall=self.wall,
                    counts=counts,
                    **settings,
                )

        async with asyncio.TaskGroup() as group:
            task = group.create_task(work(), name=f"controller {who}")
            try:
                yield fence
            finally:
                task.cancel()

    @asynccontextmanager
    async def agents(self) -> AsyncIterator[None]:
        """Have an agent on every node while the body runs."""
        async with asyncio.TaskGroup() as group:
            task = group.create_task(self._answering(), name="agents")
            try:
                yield
            finally:
                task.cancel()

    async def _answering(self) -> None:
        async with self.admin.watching(NODE_STATES, NodeStateRow.parse) as events:
            async for event in events:
                if isinstance(event, Put) and event.row.name not in self.silent:
                    await self.answer(event.row)

    async def wake(self, name: str) -> None:
        """Have an agent that was silent look again."""
        self.silent.discard(name)
        if found := await self.admin.get(NODE_STATES, name):
            await self.answer(NodeStateRow.parse(found))

    async def answer(self, row: NodeStateRow) -> None:
        """Have a node's agent do what its object says, and write what came of it."""
        if row.observed_generation == row.generation:
            return
        reports = [await self._report(row, item) for item in row.spec]
        told = NodeStateRow(
            name=row.name,
            observed=tuple(reports),
            observed_generation=row.generation,
            agent=AgentReport(version="1", ready=True),
        )
        change = {"metadata": {"resourceVersion": row.resource_version}, "status": told.status()}
        with suppress(ClusterConflict, NotFound):
            await self.admin.patch(NODE_STATES, row.name, change, subresource="status")
            self.reports[row.name] += 1

    async def _report(self, row: NodeStateRow, item: Assignment) -> ProgramReport:
        version = await self.version(item)
        refused = bool({(row.name, version), ("*", version)} & self.bad)
        return ProgramReport(
            kind=item.kind,
            name=item.name,
            hash=item.hash,
            state=State.FAILED if refused else State.RUNNING,
            reason="VerifierRejected" if refused else "",
            message="R1 is not a pointer" if refused else "",
            since=self.wall(),
        )

    async def version(self, item: Assignment) -> str:
        """Answer which version an entry names; what it names must be there."""
        found = await self.admin.get(CONTROLLER_REVISIONS, item.revision, namespace=self.namespace)
        if found is None:
            return "?"
        spec = found["data"]["spec"]
        if item.kind == USER_PROGRAM:
            return str(spec["config"]["version"])
        return base64.b64decode(spec["globalData"]["version"]).decode()

    # --- what is there ------------------------------------------------------------------------------------------------

    async def status(self, key: FleetKey) -> FleetStatus:
        found = await self.admin.get(RESOURCES[key.kind], key.name)
        return FleetStatus.parse((found or {}).get("status") or {})

    async def states(self) -> dict[str, NodeStateRow]:
        found = await self.admin.list(NODE_STATES, NodeStateRow.parse)
        return {key.name: row for key, row in found.rows.items()}

    async def assigned(self, key: FleetKey) -> dict[str, str]:
        """Answer which version each node is to run."""
        found = {name: row.assigned(key) for name, row in sorted((await self.states()).items())}
        return {name: await self.version(item) for name, item in found.items() if item}

    async def until(self, key: FleetKey, phase: Phase, generation: int = 0, within: float = 30.0) -> FleetStatus:
        """Wait until a roll-out is there."""
        status = FleetStatus()
        try:
            async with asyncio.timeout(within):
                while status.phase is not phase or not status.revision + status.update_revision:
                    await asyncio.sleep(0.05)
                    status = await self.status(key)
                    if status.observed_generation < generation:
                        status = FleetStatus()
        except TimeoutError:
            raise AssertionError(f"{key} is not {phase}: {await self.status(key)}") from None
        return status

    async def gone(self, key: FleetKey, within: float = 30.0) -> None:
        """Wait until a program is gone."""
        async with asyncio.timeout(within):
            while True:
                if await self.admin.get(RESOURCES[key.kind], key.name) is None:
                    return
                await asyncio.sleep(0.05)
