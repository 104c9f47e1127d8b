"""Writes of the leader: what is known after them, and after those that failed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from conductor.controller.counts import ControllerCounts
from conductor.controller.hands import Hands
from conductor.controller.known import NODE, Known
from conductor.controller.pace import Pace
from conductor.errors import ClusterAway, LeadershipLost
from conductor.kube.fence import Fence
from conductor.model.fleet import NODE_STATES, USER_PROGRAM, Assignment, FleetKey, NodeStateRow
from conductor.model.fleet_status import FleetStatus
from conductor.plan.fleet_actions import (
    CreateNodeState,
    DeleteNodeState,
    Emit,
    FleetAction,
    WriteNodeState,
    WriteStatus,
)
from tests.fakes import virtual_time
from tests.fakes.cluster_connection import FakeServer

A = FleetKey(USER_PROGRAM, "a")
ENTRY = Assignment(USER_PROGRAM, "a", "up-a", "h")
Story = Callable[["Desk"], Awaitable[None]]


class Desk:
    """Hands over the fake."""

    def __init__(self) -> None:
        self.server = FakeServer()
        self.connection = self.server.client("leader")
        self.fence = Fence(until=float("inf"))
        self.counts = ControllerCounts()
        self.known = Known(wall=lambda: 0.0)
        self.hands = Hands(
            cluster=self.connection.cluster.fenced(self.fence),
            namespace="default",
            node="n1",
            known=self.known,
            pace=Pace(counts=self.counts),
            counts=self.counts,
        )

    def write(self) -> WriteNodeState:
        version = self.known.states["n1"].resource_version
        return WriteNodeState(node="n1", assignments=(ENTRY,), resource_version=version, changed=(A,))


def told(story: Story) -> None:
    async def whole() -> None:
        await story(Desk())

    virtual_time.run(whole())


CREATE = CreateNodeState(node="n1", assignments=(), changed=())


def test_an_answer_is_known_before_the_watch_tells() -> None:
    async def story(desk: Desk) -> None:
        assert await desk.hands.perform([CREATE]) == ({FleetKey(NODE, "n1")}, set())
        assert desk.known.states["n1"].resource_version
        touched, failed = await desk.hands.perform([desk.write()])
        assert (touched, failed) == ({A}, set())
        assert desk.known.states["n1"].spec == (ENTRY,)

    told(story)


def test_a_change_whose_answer_was_lost_is_read_again_before_anything_is_decided() -> None:
    async def story(desk: Desk) -> None:
        await desk.hands.perform([CREATE])
        desk.connection.loses = 1
        _, failed = await desk.hands.perform([desk.write()])
        assert A in failed
        assert not desk.known.states["n1"].spec
        assert await desk.hands.reread() == {A}
        assert desk.known.states["n1"].spec == (ENTRY,)
        assert not desk.hands.doubtful

    told(story)


def test_what_cannot_be_read_stays_in_doubt() -> None:
    async def story(desk: Desk) -> None:
        await desk.hands.perform([CREATE])
        desk.connection.loses = 1
        await desk.hands.perform([desk.write()])
        desk.server.stop()
        with pytest.raises(ClusterAway):
            await desk.hands.reread()
        assert desk.hands.doubtful == {(NODE_STATES, "n1")}

    told(story)


def test_a_conflict_changes_nothing_and_is_counted() -> None:
    async def story(desk: Desk) -> None:
        await desk.hands.perform([CREATE])
        old = desk.write()
        await desk.connection.cluster.patch(NODE_STATES, "n1", {"metadata": {"labels": {"a": "b"}}})
        _, failed = await desk.hands.perform([old])
        assert A in failed
        assert desk.counts.conflicts == 1
        found = await desk.connection.cluster.get(NODE_STATES, "n1")
        assert found
        assert not NodeStateRow.parse(found).spec

    told(story)


def test_one_that_fails_does_not_stop_the_others() -> None:
    async def story(desk: Desk) -> None:
        desk.server.api.refuse = lambda _, request: b'"n1"' in (request.body or b"")
        others: list[FleetAction] = [CreateNodeState(node=f"n{i}", assignments=(), changed=()) for i in range(1, 20)]
        _, failed = await desk.hands.perform(others)
        assert failed == {FleetKey(NODE, "n1")}
        assert len(desk.known.states) == 18

    told(story)


def test_what_a_failed_write_was_to_be_told_with_is_not_told() -> None:
    async def story(desk: Desk) -> None:
        say = WriteStatus(key=A, resource_version="1", status=FleetStatus(), urgent=True)
        _, failed = await desk.hands.perform([say, Emit(key=A, uid="u", reason="RolledBack", note="")])
        assert failed == {A}
        assert not desk.server.api.objects

    told(story)


def test_the_same_occasion_is_told_once() -> None:
    async def story(desk: Desk) -> None:
        event = Emit(key=A, uid="u", reason="RolledBack", note="ä" * 2000, warning=True, occasion="1")
        await desk.hands.perform([event])
        await desk.hands.perform([event])
        (made,) = desk.server.api.objects.values()
        assert len(made["note"].encode()) <= 1024
        assert made["metadata"]["namespace"] == "default"
        assert desk.counts.failures == desk.counts.conflicts == 0

    told(story)


def test_nothing_is_sent_once_leadership_is_lost() -> None:
    async def story(desk: Desk) -> None:
        desk.fence.close()
        with pytest.raises(ExceptionGroup) as raised:
            await desk.hands.perform([CREATE, DeleteNodeState(node="n2", resource_version="1")])
        assert raised.group_contains(LeadershipLost)
        assert not desk.server.api.objects

    told(story)
