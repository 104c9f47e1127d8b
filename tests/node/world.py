"""A node before a fake API server: the real reconciler and Program Manager, a fake kernel; a test plays the leader."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from conductor.kube.requests import Reply, Request
from conductor.managers.program import ProgramManager
from conductor.model.fleet import AgentReport, Assignment, FleetKey, NodeStateRow, revision_name
from conductor.model.fleet_rows import digest_of
from conductor.node.reconciler import NodeReconciler
from tests.fakes.cluster_connection import FakeServer
from tests.managers.program_world import ProgramWorld

NODE = "n1"
STATES = "/apis/ebpfconductor.io/v1alpha1/nodestates"
REVISIONS = "/apis/apps/v1/namespaces/here/controllerrevisions"
AGENT = AgentReport(version="1", road="embedded", flavour="loader", ready=True)


class NodeWorld:
    """What outlives an agent: its disk, its kernel, the cluster."""

    def __init__(self, folder: Path) -> None:
        self.programs = ProgramWorld(folder)
        self.server = FakeServer()
        self.connection = self.server.client("agent")
        self.folder = folder / "state" / "cluster"
        self.allow_paths = False
        self.agent = AGENT

    # --- the leader -----------------------------------------------------------------------------------------------

    def revision(self, kind: str, name: str, spec: dict[str, Any]) -> Assignment:
        """Make a revision; answers how it is assigned."""
        key = FleetKey(kind, name)
        digest = digest_of(key, spec)
        data = {"apiVersion": "ebpfconductor.io/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}
        document = {"metadata": {"name": revision_name(key, digest)}, "revision": 1, "data": data}
        self.ask("POST", REVISIONS, document, may_fail=True)
        return Assignment(kind, name, revision_name(key, digest), digest)

    def user(self, name: str, builtin: str = "plain", **config: Any) -> Assignment:
        """Make a revision of a user program."""
        return self.revision("UserProgram", name, {"source": {"builtin": builtin}, "config": config})

    def kernel(self, name: str, builtin: str = "plain") -> Assignment:
        """Make a revision of a kernel program."""
        function = {
            "name": "on_enter",
            "type": "TracePoint",
            "tracepoint": {"links": [{"name": "raw_syscalls/sys_enter"}]},
        }
        return self.revision("KernelProgram", name, {"bytecode": {"builtin": builtin}, "programs": [function]})

    def assign(self, *programs: Assignment) -> None:
        """Write the NodeState's spec, as the leader does."""
        spec = {"programs": [item.printed() for item in programs]}
        if self.ask("POST", STATES, {"metadata": {"name": NODE}, "spec": spec}, may_fail=True) == 409:
            self.ask("PATCH", f"{STATES}/{NODE}", {"spec": spec})

    def drop_state(self) -> None:
        """Delete the NodeState."""
        self.ask("DELETE", f"{STATES}/{NODE}")

    def told(self) -> NodeStateRow:
        """What the cluster knows of this node."""
        return NodeStateRow.parse(json.loads(self._ask("GET", f"{STATES}/{NODE}").body))

    def rows(self) -> dict[str, str]:
        """State and reason by program, as told."""
        return {item.name: " ".join(filter(None, (item.state.word, item.reason))) for item in self.told().observed}

    @property
    def writes(self) -> int:
        """Changes that the agent made so far."""
        return sum(who == "agent" for who, _, _ in self.server.api.writes)

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None, *, may_fail: bool = False) -> int:
        reply = self._ask(method, path, body)
        assert may_fail or reply.status < 300, reply.body
        return reply.status

    def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Reply:
        request = Request(method=method, path=path, body=json.dumps(body or {}).encode())
        return self.server.api.answer("leader", request)

    # --- the agent ------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def running(self) -> AsyncIterator[tuple[ProgramManager, NodeReconciler]]:
        """One agent's life."""
        async with (
            self.programs.agent() as programs,
            NodeReconciler.running(
                cluster=self.connection.cluster,
                node=NODE,
                namespace="here",
                folder=self.folder,
                allow_paths=self.allow_paths,
                programs=programs,
                bus=self.programs.bus,
                agent=lambda: self.agent,
            ) as node,
        ):
            yield programs, node
