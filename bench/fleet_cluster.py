"""A fleet for a while: a real API server, a leader as a process of its own, simulated agents; and what they cost."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial, reduce
from operator import add
from pathlib import Path

from bench.fleet_cost import Cost
from bench.fleet_crowd import Crowd, Heard
from bench.processes import cpu_seconds
from conductor.kube.access import Access
from conductor.kube.cluster import Cluster
from conductor.kube.https import Https
from conductor.kube.requests import Request
from conductor.model.fleet import KERNEL_PROGRAM, RESOURCES, USER_PROGRAM, FleetKey
from conductor.model.fleet_rows import ProgramRow
from conductor.model.fleet_status import Phase
from tests.cluster.charted import apply_kinds, apply_rules
from tests.cluster.fleet_stage import RealStage
from tests.cluster.testbed import Testbed
from tests.controller.stage import a_spec

NAMESPACE, ACCOUNT = "fleet", "agent"
CROWD = 1_500
"""Simulated agents of one process."""
ASKED_AT_ONCE = 16
AT_ONCE = {"canary": 1, "soak": "0s", "maxUnavailable": "100%"}
"""One node first, then all: what is measured is what is written, not how long people want to wait."""
QUIET = '{"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": [{"level": "None"}]}'
PROFILE = "CONDUCTOR_BENCH_PROFILE"
"""Names a file for the leader's cProfile, which makes it about twice as slow."""
_REQUESTS = re.compile(r"apiserver_request_total\{(.*)\} ([\d.e+]+)$", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="([^"]*)"')
_CHANGES = {"POST", "PUT", "PATCH", "APPLY", "DELETE"}


class Fleet:
    """Nodes, programs, and their cluster."""

    def __init__(
        self, *, bed: Testbed, stage: RealStage, names: Sequence[str], crowds: Sequence[Crowd], programs: int
    ) -> None:
        self._bed, self._stage, self._names, self._crowds = bed, stage, names, crowds
        self._keys = [FleetKey((USER_PROGRAM, KERNEL_PROGRAM)[i % 2], f"program-{i}") for i in range(programs)]
        self._leader = 0
        self._size = 0
        """Of etcd when it was compacted last."""
        self._patience = 420 + len(names) / 4
        """Seconds: a leader writes 50 nodes a second, some times over."""

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
            names = [f"node-{number:04}" for number in range(nodes)]
            tokens = await _tokens(bed, names)
            server, authority = bed.server, str(bed.authority)
            crowds = [
                await stack.enter_async_context(
                    Crowd.running(server=server, authority=authority, tokens=tokens[begin : begin + CROWD])
                )
                for begin in range(0, nodes, CROWD)
            ]
            fleet = cls(bed=bed, stage=stage, names=names, crowds=crowds, programs=programs)
            async with fleet._led():
                yield fleet

    @asynccontextmanager
    async def _led(self) -> AsyncIterator[None]:
        node = self._names[0]
        kubeconfig = str(await asyncio.to_thread(self._bed.agent, node, namespace=NAMESPACE))
        profile = os.environ.get(PROFILE, "")
        watched = ("-m", "cProfile", "-o", profile) if profile else ()
        command = (sys.executable, *watched, "-m", "tests.cluster.leader", kubeconfig, node, "15")
        leader = await asyncio.create_subprocess_exec(*command)
        self._leader = leader.pid
        try:
            async with asyncio.timeout(60 + self._patience):  # it gives every node an object, and every agent answers
                while not await self._is_told_by_all():
                    if leader.returncode is not None:
                        raise SystemExit("the leader ended")
                    await asyncio.sleep(0.1 + len(self._names) / 1000)
            yield
        finally:
            if leader.returncode is None:
                leader.terminate()
            await leader.wait()

    async def _is_told_by_all(self) -> bool:
        states = (await self._stage.states()).values()
        return len(states) == len(self._names) and all(row.observed_generation == row.generation for row in states)

    async def changed(self, version: str, *, programs: int) -> Cost:
        """Ask for this version of so many programs, and wait until every node runs it."""
        size = self._size or await self._compacted()
        writes, cpu, heard = await self._writes(), self._cpu(), await self._heard()
        began = time.monotonic()
        for key in self._keys[:programs]:
            await self._stage.apply(key, a_spec(version, key.kind, updateStrategy=AT_ONCE))
        await self._until_all_run()
        seconds = time.monotonic() - began
        await asyncio.sleep(3)  # what comes after, such as events, belongs to it
        cpu_now = self._cpu()
        grown = self._bed.etcd_size - size
        writes_now, heard_now = await self._writes(), await self._heard()
        self._size = await self._compacted()
        revisions = await asyncio.to_thread(
            self._bed.call, "GET", f"/apis/apps/v1/namespaces/{NAMESPACE}/controllerrevisions"
        )
        count = len(self._names)
        return Cost(
            seconds=seconds,
            writes=writes_now - writes,
            objects=count + len(revisions["items"]),
            etcd=grown,
            etcd_kept=self._size - size,
            nodes=count,
            heard=heard_now - heard,
            cpu={name: cpu_now[name] - cpu[name] for name in cpu},
            rss=self._memory("VmRSS"),
            highest=self._memory("VmHWM"),
            load=os.getloadavg()[0],
        )

    async def _until_all_run(self) -> None:
        until = time.monotonic() + self._patience
        while (behind := await self._behind()) > 0:
            if time.monotonic() > until:
                raise SystemExit(f"{behind} programs are not everywhere after {self._patience:.0f} s")
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
        return is_told and status.nodes.ready == status.nodes.updated == len(self._names)

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

    async def _heard(self) -> Heard:
        return reduce(add, [await crowd.heard() for crowd in self._crowds], Heard())

    def _cpu(self) -> dict[str, float]:
        agents = sum(cpu_seconds(crowd.pid) for crowd in self._crowds)
        servers = {"API server": self._bed.api.pid, "etcd": self._bed.etcd.pid, "leader": self._leader}
        return {name: cpu_seconds(pid) for name, pid in servers.items()} | {"simulated agents": agents}

    def _memory(self, name: str) -> float:
        told = dict(line.split(":", 1) for line in Path(f"/proc/{self._leader}/status").read_text().splitlines())
        return int(told[name].split()[0]) / 1024


async def _tokens(bed: Testbed, names: Sequence[str]) -> list[tuple[str, str]]:
    """A node and a token bound to it for each name, asked for some at a time."""
    await asyncio.to_thread(bed.agent, names[0], account=ACCOUNT, namespace=NAMESPACE)  # makes the account, too
    room = asyncio.Semaphore(ASKED_AT_ONCE)
    async with Https.connected(Access.found(bed.admin)) as transport, asyncio.TaskGroup() as group:

        async def asked(path: str, body: dict[str, object]) -> dict[str, object]:
            request = Request(method="POST", path=path, body=json.dumps(body).encode())
            reply = await transport.send(request, within=60)
            assert reply.status in {201, 409}, reply.body
            answer: dict[str, object] = json.loads(reply.body)
            return answer

        async def token(name: str) -> tuple[str, str]:
            async with room:
                path = f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/{ACCOUNT}/token"
                await asked("/api/v1/nodes", {"metadata": {"name": name}})
                bound = {"kind": "Node", "apiVersion": "v1", "name": name}
                spec = {"expirationSeconds": 14_400, "boundObjectRef": bound, "audiences": None}
                status = (await asked(path, {"spec": spec}))["status"]
                assert isinstance(status, dict)
                return name, status["token"]

        tasks = [group.create_task(token(name), name=f"token of {name}") for name in names]
    return [task.result() for task in tasks]
