"""Three agents' elected parts as processes, always at work; leaders are killed, frozen past their lease and cut off.

What counts is what the API server accepted, by the revisions in its audit log: each change that only a leader may make
was made by the holder in the last revision of the Lease before it.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import UTC, datetime

import pytest

from conductor.errors import ConductorError
from conductor.model.cluster import LEASES
from conductor.model.fleet import KERNEL_PROGRAM, RESOURCES, USER_PROGRAM, FleetKey
from conductor.model.fleet_status import Phase
from tests.cluster.charted import LEASE
from tests.cluster.fleet_stage import RealStage, told
from tests.cluster.ledger import Ledger
from tests.cluster.testbed import Testbed
from tests.controller.stage import a_spec
from tests.kube.proxy import Proxy

pytestmark = [pytest.mark.cluster, pytest.mark.faults, pytest.mark.slow]
ROUNDS = int(os.environ.get("CONDUCTOR_FAULT_ROUNDS", "5"))
WITHIN = 40 + 15 * ROUNDS
SECONDS = 2
NAMESPACE = "failover"
FLEET = ("n1", "n2", "n3")
UP, KP = FleetKey(USER_PROGRAM, "tool"), FleetKey(KERNEL_PROGRAM, "tool")
AT_ONCE = {"canary": 1, "soak": "0s", "maxUnavailable": 2}


@pytest.fixture
def chance() -> random.Random:
    seed = int(os.environ.get("CONDUCTOR_FAULT_SEED", random.SystemRandom().randrange(1 << 32)))
    print(f"CONDUCTOR_FAULT_SEED={seed} CONDUCTOR_FAULT_ROUNDS={ROUNDS}")
    return random.Random(seed)


class Trio:
    """The processes, each with a wire of its own."""

    def __init__(self, stage: RealStage) -> None:
        self.stage = stage
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.wires: dict[str, Proxy] = {}
        self.version = 0

    def start(self, node: str) -> None:
        bed, address = self.stage.bed, f"https://127.0.0.1:{self.wires[node].port}"
        kubeconfig = str(bed.agent(node, namespace=NAMESPACE, server=address))
        self.processes[node] = subprocess.Popen(
            [sys.executable, "-m", "tests.cluster.leader", kubeconfig, node, str(SECONDS)]
        )

    def end(self) -> None:
        for process in self.processes.values():
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGCONT)
                process.kill()
            process.wait(timeout=10)

    async def holder(self, *, but: str = "", within: float = 8 * SECONDS) -> str:
        """Wait until somebody leads; answers the node."""
        async with asyncio.timeout(within):
            while True:
                found = await self.stage.admin.get(LEASES, LEASE, namespace=NAMESPACE) or {}
                node = str(((found.get("spec") or {}).get("holderIdentity") or "").partition("/")[0])
                if node and node != but:
                    return node
                await asyncio.sleep(0.05)

    async def edits(self) -> None:
        """People who never leave a fleet alone."""
        while True:
            with suppress(ConductorError):
                await self.edit()
            await asyncio.sleep(0.4)

    async def edit(self) -> None:
        """Ask for another version of both halves."""
        self.version += 1
        for key in (KP, UP):
            await self.stage.apply(key, a_spec(f"v{self.version}", key.kind, updateStrategy=AT_ONCE))


@asynccontextmanager
async def at_work(stage: RealStage) -> AsyncIterator[Trio]:
    """Have three leaders to be, agents, and work; at last the fleet is at what was asked for last."""
    trio = Trio(stage)
    await stage.admin.delete(LEASES, LEASE, namespace=NAMESPACE)  # of processes that were killed before
    await stage.join(*FLEET)
    async with AsyncExitStack() as stack:
        for node in FLEET:
            trio.wires[node] = await stack.enter_async_context(Proxy.running(stage.bed.port))
        stack.callback(trio.end)
        await stack.enter_async_context(stage.agents())
        for node in FLEET:
            trio.start(node)
        async with asyncio.TaskGroup() as group:
            editing = group.create_task(trio.edits(), name="edits")
            await trio.holder()
            yield trio
            editing.cancel()
        await trio.edit()
        for key in (KP, UP):
            found = await stage.admin.get(RESOURCES[key.kind], key.name)
            assert found
            await stage.until(key, Phase.IDLE, generation=found["metadata"]["generation"], within=30)
            assert set((await stage.assigned(key)).values()) == {f"v{trio.version}"}


def shown(bed: Testbed, breaking: Callable[[Trio], Awaitable[None]], *, changes: int) -> None:
    """Break leaders in rounds, and hold the audit log to the leases."""
    since = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")

    async def story(stage: RealStage) -> None:
        async with at_work(stage) as trio:
            for _ in range(ROUNDS):
                await breaking(trio)

    told(bed, NAMESPACE, story, within=WITHIN)
    ledger = Ledger.read(bed, NAMESPACE, since)
    terms = ledger.terms()
    print(f"{len(terms)} terms, {ledger.writes} changes by leaders, {ledger.refused} refused")
    assert len(terms) > changes
    assert ledger.writes > 3 * len(terms)


@pytest.mark.timeout(WITHIN + 30)
def test_a_killed_leader_is_followed_within_the_lease_and_a_retry(fleet_bed: Testbed, chance: random.Random) -> None:
    async def breaking(trio: Trio) -> None:
        first = await trio.holder()
        await asyncio.sleep(chance.uniform(0.3, 1.0))
        trio.processes[first].kill()
        trio.processes[first].wait(timeout=10)
        began = time.monotonic()
        await trio.holder(but=first)
        assert time.monotonic() - began < 2 * SECONDS
        trio.start(first)

    shown(fleet_bed, breaking, changes=ROUNDS)


@pytest.mark.timeout(WITHIN + 30)
def test_a_leader_frozen_past_its_lease_changes_nothing_when_it_wakes(
    fleet_bed: Testbed, chance: random.Random
) -> None:
    async def breaking(trio: Trio) -> None:
        first = await trio.holder()
        await asyncio.sleep(chance.uniform(0.3, 1.0))
        trio.processes[first].send_signal(signal.SIGSTOP)
        await trio.holder(but=first)
        await asyncio.sleep(chance.uniform(0, 0.5))
        trio.processes[first].send_signal(signal.SIGCONT)
        await asyncio.sleep(SECONDS / 2)
        assert trio.processes[first].poll() is None

    shown(fleet_bed, breaking, changes=ROUNDS)


@pytest.mark.timeout(WITHIN + 30)
def test_a_leader_that_is_cut_off_stops_and_changes_nothing_late(fleet_bed: Testbed, chance: random.Random) -> None:
    async def breaking(trio: Trio) -> None:
        first = await trio.holder()
        await asyncio.sleep(chance.uniform(0.3, 1.0))
        trio.wires[first].cut()
        await trio.holder(but=first)
        await asyncio.sleep(chance.uniform(0, 0.5))
        trio.wires[first].heal()  # what was on its way arrives now
        await asyncio.sleep(SECONDS / 2)
        assert trio.processes[first].poll() is None

    shown(fleet_bed, breaking, changes=ROUNDS)
