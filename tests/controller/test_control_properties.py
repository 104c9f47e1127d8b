"""Objects edited, deleted and made anew, nodes and leaders coming and going, streams that break: it comes to the truth."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from functools import partial

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conductor.errors import ConductorError
from conductor.model.cluster import Document
from conductor.model.fleet import (
    CONTROLLER_REVISIONS,
    KERNEL_PROGRAM,
    NODE_STATES,
    NODES,
    RESOURCES,
    USER_PROGRAM,
    FleetKey,
    NodeRow,
)
from conductor.model.fleet_rows import ProgramRow, RevisionRow
from tests.controller.stage import Stage, a_spec
from tests.fakes import virtual_time
from tests.fakes.cluster_connection import FakeServer
from tests.fakes.fleet_truth import judge

KEYS = st.sampled_from([FleetKey(KERNEL_PROGRAM, "a"), FleetKey(USER_PROGRAM, "a"), FleetKey(USER_PROGRAM, "b")])
NAMES = st.sampled_from(["n1", "n2", "n3", "n4"])
VERSIONS = st.sampled_from("ABC")
STRATEGIES = st.fixed_dictionaries(
    {
        "canary": st.sampled_from([0, 1, "50%"]),
        "maxUnavailable": st.sampled_from([1, 2, "50%"]),
        "soak": st.sampled_from(["0s", "20s"]),
        "pause": st.sampled_from([False, False, True]),
        "rollbackOnFailure": st.sampled_from([True, True, False]),
    }
)
STEPS = st.one_of(
    st.tuples(st.just("edit"), KEYS, VERSIONS, STRATEGIES, st.booleans()),
    st.tuples(st.just("delete"), KEYS),
    st.tuples(st.just("recreate"), KEYS, VERSIONS),
    st.tuples(st.just("join"), NAMES, st.booleans()),
    st.tuples(st.just("leave"), NAMES),
    st.tuples(st.just("ready"), NAMES, st.booleans()),
    st.tuples(st.just("meddle"), NAMES),
    st.tuples(st.just("break")),
    st.tuples(st.just("forget")),
    st.tuples(st.just("depose")),
)
PAUSES = st.sampled_from([0.0, 0.01, 0.06, 0.3, 2.0, 15.0])


@dataclass
class Drama:
    """One run of it."""

    stage: Stage
    server: FakeServer
    leaders: AsyncExitStack
    versions: dict[FleetKey, str] = field(default_factory=dict)
    number: int = 0

    async def step(self, name: str, *given: object) -> None:
        with suppress(ConductorError):
            await getattr(self, f"_{name}")(*given)

    async def _edit(self, key: FleetKey, version: str, strategy: Document, near: bool) -> None:
        found = await self.stage.admin.get(RESOURCES[key.kind], key.name)
        if found and found["metadata"].get("deletionTimestamp"):
            return
        selector: Document = {"nodeSelector": {"matchLabels": {"near": "yes"}}} if near else {}
        await self.stage.apply(key, a_spec(version, key.kind, updateStrategy=strategy, **selector))
        self.versions[key] = version

    async def _delete(self, key: FleetKey) -> None:
        await self.stage.delete(key)

    async def _recreate(self, key: FleetKey, version: str) -> None:
        """Somebody forces it away, and makes it anew."""
        await self.stage.admin.patch(RESOURCES[key.kind], key.name, {"metadata": {"finalizers": []}})
        await self.stage.delete(key)
        await self.stage.apply(key, a_spec(version, key.kind))
        self.versions[key] = version

    async def _join(self, name: str, near: bool) -> None:
        await self.stage.join(name, **({"near": "yes"} if near else {}))
        await self.stage.wake(name)

    async def _leave(self, name: str) -> None:
        await self.stage.leave(name)

    async def _ready(self, name: str, ready: bool) -> None:
        await self.stage.ready(name, ready)
        if ready:
            await self.stage.wake(name)
        else:
            self.stage.silent.add(name)

    async def _meddle(self, name: str) -> None:
        await self.stage.admin.patch(NODE_STATES, name, {"spec": {"programs": []}})

    async def _break(self) -> None:
        self.server.break_streams()

    async def _forget(self) -> None:
        self.server.api.compact()
        self.server.break_streams()

    async def _depose(self) -> None:
        await self.leaders.aclose()
        await self.lead()

    async def lead(self) -> None:
        self.number += 1
        await self.leaders.enter_async_context(self.stage.leading(f"leader{self.number}"))

    async def judge(self) -> None:
        """Hold all that is there to what was written last."""
        admin = self.stage.admin
        nodes = {key.name: row for key, row in (await admin.list(NODES, NodeRow.parse)).rows.items()}
        states = await self.stage.states()
        assert set(states) == set(nodes)
        programs: dict[FleetKey, ProgramRow] = {}
        for kind, resource in RESOURCES.items():
            found = await admin.list(resource, partial(ProgramRow.parse, kind))
            programs |= {row.key: row for row in found.rows.values()}
        for key, row in programs.items():
            judge(row, self.versions[key], await self.stage.assigned(key), nodes, self.stage.bad)
        assert {item.key for state in states.values() for item in state.spec} <= set(programs)
        revisions = (await admin.list(CONTROLLER_REVISIONS, RevisionRow.parse, namespace="default")).rows
        assert {row.key for row in revisions.values()} <= set(programs)


async def play(drama: Drama, steps: list[tuple[tuple[object, ...], float]]) -> None:
    async with drama.stage.agents():
        await drama.lead()
        for (name, *given), pause in steps:
            await drama.step(str(name), *given)
            await asyncio.sleep(pause)
        await asyncio.sleep(600)
        await drama.judge()
        before = len(drama.server.api.writes)
        await asyncio.sleep(600)
        assert len(drama.server.api.writes) == before, "it never comes to rest"


@given(
    steps=st.lists(st.tuples(STEPS, PAUSES), max_size=25),
    bad=st.sets(st.tuples(NAMES | st.just("*"), VERSIONS), max_size=2),
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_whatever_happens_it_comes_to_what_the_last_specs_say(
    steps: list[tuple[tuple[object, ...], float]], bad: set[tuple[str, str]]
) -> None:
    async def whole() -> None:
        server = FakeServer()
        stage = Stage.virtual(server.client("admin").cluster, lambda who: server.client(who).cluster)
        stage.bad = bad
        async with AsyncExitStack() as leaders:
            await play(Drama(stage, server, leaders), steps)

    virtual_time.run(whole())
