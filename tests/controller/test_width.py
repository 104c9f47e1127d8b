"""Many nodes and programs: what that costs a leader."""

from __future__ import annotations

import asyncio
import time
import tracemalloc

from conductor.controller.counts import ControllerCounts
from conductor.controller.known import Known
from conductor.controller.queue import KeyQueue
from conductor.controller.watches import Watches
from conductor.model.cluster import Document
from conductor.model.fleet import NODE_STATES, USER_PROGRAM, FleetKey
from tests.controller.stage import Stage, a_spec
from tests.fakes.cluster_connection import FakeServer

NODES = 400
AT_ONCE: Document = {"canary": 0, "maxUnavailable": "100%"}


def test_a_wide_fleet_is_decided_about_beside_the_loop() -> None:
    async def story() -> None:
        server = FakeServer()
        stage = Stage(
            admin=server.client("admin").cluster,
            client=lambda who: server.client(who).cluster,
            namespace="default",
            wall=time.time,
        )
        await stage.join(*[f"n{i}" for i in range(90)])
        keys = [FleetKey(USER_PROGRAM, f"p{i}") for i in range(60)]
        for key in keys:
            await stage.apply(key, a_spec("A", updateStrategy=AT_ONCE))
        async with stage.leading(writes_per_second=5_000.0, bytes_per_second=1e9):
            async with asyncio.timeout(40):
                given: set[int] = set()
                while given != {len(keys)}:
                    await asyncio.sleep(0.2)
                    given = {len(row.spec) for row in (await stage.states()).values()}
        assert stage.counts["n1"].failures == 0

    asyncio.run(story())


def a_node_state(number: int) -> Document:
    entry = {"kind": USER_PROGRAM, "revision": "up-some-program-0123456789", "hash": "0" * 64}
    since = f"2026-01-01T00:{number // 60:02}:{number % 60:02}Z"
    report = {"kind": USER_PROGRAM, "hash": "0" * 64, "state": "Running", "since": since}
    names = [f"program-{i}" for i in range(50)]
    return {
        "metadata": {"name": f"node-{number}", "resourceVersion": str(number), "managedFields": ["x"] * 500},
        "spec": {"programs": [{**entry, "name": name} for name in names]},
        "status": {"observedGeneration": 1, "programs": [{**report, "name": name} for name in names]},
    }


def test_a_thousand_entries_of_nodes_cost_less_than_250_kib() -> None:
    async def story() -> None:
        counts = ControllerCounts()
        known, queue = Known(wall=time.time), KeyQueue(counts=counts)
        cluster = FakeServer().client("x").cluster
        watches = Watches(cluster=cluster, namespace="x", known=known, queue=queue, counts=counts)
        keep = watches._keeper(NODE_STATES)
        tracemalloc.start()
        for number in range(NODES):
            row = keep(a_node_state(number))
            assert row is not None
            known.learn(row)
        held, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        per_thousand = held / (NODES * 50) * 1000 / 1024
        print(f"{per_thousand:.0f} KiB per 1,000 programs of nodes")
        assert per_thousand < 250

    asyncio.run(story())
