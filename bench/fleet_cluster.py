"""A fleet for a while: a real API server, a leader as a process of its own, simulated agents; and what they cost."""

from __future__ import annotations

import asyncio
import os
import re
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench.fleet_agent import SimulatedAgent
from conductor.kube.cluster import Cluster
from conductor.model.fleet import KERNEL_PROGRAM, RESOURCES, USER_PROGRAM, FleetKey
from conductor.model.fleet_rows import ProgramRow
from conductor.model.fleet_status import Phase
from tests.cluster.charted import apply_kinds, apply_rules
from tests.cluster.fleet_stage import RealStage
from tests.cluster.testbed import Testbed
from tests.controller.stage import a_spec

NAMESPACE = "fleet"
WITHIN = 420.0
AT_ONCE = {"canary": 1, "soak": "0s", "maxUnavailable": "100%"}
"""One node first, then all: what is measured is what is written, not how long people want to wait."""
QUIET = '{"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": [{"level": "None"}]}'
_REQUESTS = re.compile(r"apiserver_request_total\{(.*)\} ([\d.e+]+)$", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="([^"]*)"')
_CHANGES = {"POST", "PUT", "PATCH", "APPLY", "DELETE"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What one change of programs took."""

    seconds: float
    writes: Counter[str]
    """Accepted by the API server, by its own count: resource and subresource."""
    objects: int
    """NodeStates and revisions, afterwards."""
    etcd: int
    """Bytes that etcd has more in use, with all history since the change began."""
    etcd_kept: int
    """The same once that history is compacted."""
    watch_bytes: float
    """Of an agent, on average."""
    watch_events: float
    conflicts: int
    """Statuses of agents that were refused, because a watch was behind its own agent's writes; tried again."""
    cpu: float
    """Seconds of the leader's process."""
    rss: float
    """MiB of the leader's process, afterwards."""


class Fleet:
    """Nodes, programs, and their cluster."""

    def __init__(self, *, bed: Testbed, stage: RealStage, agents: list[SimulatedAgent], programs: int) -> None:
        self._bed, self._stage, self._agents = bed, stage, agents
        self._keys = [FleetKey((USER_PROGRAM, KERNEL_PROGRAM)[i % 2], f"program-{i}") for i in range(programs)]
        self._leader = 0
        self._size = 0
        """Of etcd when it was compacted last."""

    @classmethod
    @asynccontextmanager
    async def running(cls, folder: Path, *, nodes: int, programs: int) -> AsyncIterator[Fleet]:
        """Have one, with nothing to do yet."""
        async with AsyncExitStack() as stack:
            bed = stack.enter_context(Testbed.running(folder, audit=QUIET))
            apply_kinds(bed)
            apply_rules(bed, namespace=NAMESPACE)
            bed.kubectl("delete", "nodes", "--all")
            admin = await stack.enter_async_context(Cluster.connected(kubeconfig=bed.admin))
            stage = RealStage(admin=admin, client=lambda _: admin, namespace=NAMESPACE, wall=time.time)
            agents = []
            for number in range(nodes):
                node = f"node-{number:03}"
                kubeconfig = await asyncio.to_thread(bed.agent, node, namespace=NAMESPACE)
                agents.append(
                    await stack.enter_async_context(SimulatedAgent.connected(node=node, kubeconfig=kubeconfig))
                )
            fleet = cls(bed=bed, stage=stage, agents=agents, programs=programs)
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(agent.run(), name=agent.node) for agent in agents]
                async with fleet._led():
                    yield fleet
                for task in tasks:
                    task.cancel()

    @asynccontextmanager
    async def _led(self) -> AsyncIterator[None]:
        node = self._agents[0].node
        kubeconfig = str(await asyncio.to_thread(self._bed.agent, node, namespace=NAMESPACE))
        command = (sys.executable, "-m", "tests.cluster.leader", kubeconfig, node, "15")
        leader = await asyncio.create_subprocess_exec(*command)
        self._leader = leader.pid
        try:
            async with asyncio.timeout(60):  # it gives every node an object, and every agent answers
                while not await self._is_told_by_all():
                    if leader.returncode is not None:
                        raise SystemExit("the leader ended")
                    await asyncio.sleep(0.1)
            yield
        finally:
            if leader.returncode is None:
                leader.terminate()
            await leader.wait()

    async def _is_told_by_all(self) -> bool:
        states = (await self._stage.states()).values()
        return len(states) == len(self._agents) and all(row.observed_generation == row.generation for row in states)

    async def changed(self, version: str, *, programs: int) -> Cost:
        """Ask for this version of so many programs, and wait until every node runs it."""
        size = self._size or await self._compacted()
        writes, cpu = await self._writes(), self._cpu()
        (heard, events), conflicts = self._heard(), self._conflicts()
        began = time.monotonic()
        for key in self._keys[:programs]:
            await self._stage.apply(key, a_spec(version, key.kind, updateStrategy=AT_ONCE))
        await self._until_all_run()
        seconds = time.monotonic() - began
        await asyncio.sleep(3)  # what comes after, such as events, belongs to it
        grown = self._bed.etcd_size - size
        writes_now, (heard_now, events_now) = await self._writes(), self._heard()
        self._size = await self._compacted()
        revisions = await asyncio.to_thread(
            self._bed.call, "GET", f"/apis/apps/v1/namespaces/{NAMESPACE}/controllerrevisions"
        )
        count = len(self._agents)
        return Cost(
            seconds=seconds,
            writes=writes_now - writes,
            objects=count + len(revisions["items"]),
            etcd=grown,
            etcd_kept=self._size - size,
            watch_bytes=(heard_now - heard) / count,
            watch_events=(events_now - events) / count,
            conflicts=self._conflicts() - conflicts,
            cpu=self._cpu() - cpu,
            rss=self._rss(),
        )

    async def _until_all_run(self) -> None:
        until = time.monotonic() + WITHIN
        while (behind := await self._behind()) > 0:
            if time.monotonic() > until:
                raise SystemExit(f"{behind} programs are not everywhere after {WITHIN:.0f} s")
            await asyncio.sleep(0.5)

    async def _behind(self) -> int:
        """Programs that are not known to run in their last version on every node."""
        behind = len(self._keys)
        for kind, resource in RESOURCES.items():
            found = await self._stage.admin.list(resource, partial(ProgramRow.parse, kind))
            behind -= sum(self._is_everywhere(row) for row in found.rows.values())
        return behind

    def _is_everywhere(self, row: ProgramRow) -> bool:
        status = row.status
        is_told = status.observed_generation == row.generation and status.phase is Phase.IDLE
        return is_told and status.nodes.ready == status.nodes.updated == len(self._agents)

    async def _compacted(self) -> int:
        await asyncio.to_thread(self._bed.compact)
        await asyncio.sleep(1.5)  # what was freed counts once etcd committed it
        return self._bed.etcd_size

    # --- figures ------------------------------------------------------------------------------------------------------

    async def _writes(self) -> Counter[str]:
        """What the API server accepted so far."""
        found: Counter[str] = Counter()
        told = await asyncio.to_thread(self._bed.kubectl, "get", "--raw", "/metrics")
        for labels, figure in _REQUESTS.findall(told):
            of = dict(_LABEL.findall(labels))
            if of["verb"] in _CHANGES and of["code"].startswith("2"):
                found["/".join(filter(None, (of["resource"], of["subresource"])))] += int(float(figure))
        return found

    def _heard(self) -> tuple[int, int]:
        return (
            sum(agent.transport.stream_bytes for agent in self._agents),
            sum(agent.counts.events for agent in self._agents),
        )

    def _conflicts(self) -> int:
        return sum(agent.reporter.counts.conflicts for agent in self._agents)

    def _cpu(self) -> float:
        after_name = Path(f"/proc/{self._leader}/stat").read_text().rpartition(")")[2].split()
        return (int(after_name[11]) + int(after_name[12])) / os.sysconf("SC_CLK_TCK")

    def _rss(self) -> float:
        told = dict(line.split(":", 1) for line in Path(f"/proc/{self._leader}/status").read_text().splitlines())
        return int(told["VmRSS"].split()[0]) / 1024
