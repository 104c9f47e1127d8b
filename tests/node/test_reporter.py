"""A node's status by itself: what is held to be at the API server, whoever told of it."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from conductor.kube.cluster import Cluster
from conductor.model.cluster import Document, Resource
from conductor.node.reporter import Reporter
from conductor.plan.node_reports import Assignments
from tests.managers.program_world import until
from tests.node.world import NodeWorld


async def test_an_answer_outlasts_what_a_watch_tells_during_its_write(
    world: NodeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A watch that lags tells of a version that the answer has overtaken."""
    world.assign()
    row = world.told()
    replace_status = Cluster.replace_status

    async def told_meanwhile(cluster: Cluster, resource: Resource, document: Document) -> Document:
        answer = await replace_status(cluster, resource, document)
        reporter.holds(replace(row))
        return answer

    monkeypatch.setattr(Cluster, "replace_status", told_meanwhile)
    async with world.programs.agent() as programs, asyncio.TaskGroup() as group:
        cluster = world.connection.cluster
        reporter = Reporter(cluster=cluster, programs=programs, bus=world.programs.bus, agent=lambda: world.agent)
        reporter.holds(row)
        reporter.assigned(Assignments(generation=row.generation))
        writing = group.create_task(reporter.run(), name="status")
        await until(lambda: reporter.counts.writes > 0)
        await asyncio.sleep(0.5)
        assert (reporter.counts.writes, reporter.counts.conflicts) == (1, 0)
        writing.cancel()
