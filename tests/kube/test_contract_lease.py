"""One leader at a time, whatever happens: the same stories before the fake and before the real API server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field

import pytest

from conductor.errors import ClusterConflict
from conductor.kube.fence import Fence
from conductor.kube.leader import lead, lead_for_ever
from conductor.kube.lease import Lease, identity
from conductor.kube.lease_record import LeaseRecord
from conductor.model.cluster import LEASES, Key
from tests.kube.worlds import Client, World

SECONDS = 2
SETTLE = 0.05
NAME = "leader"


@dataclass
class Term:
    """One leadership as it was lived."""

    node: str
    began: float
    ended: float | None = None


@dataclass
class Contenders:
    """Who works, and since when; more than one at once is a failure of the story."""

    world: World
    terms: list[Term] = field(default_factory=list)
    leases: dict[str, Lease] = field(default_factory=dict)
    clients: dict[str, Client] = field(default_factory=dict)
    tasks: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    _turn: asyncio.Event = field(default_factory=asyncio.Event)

    def work_of(self, node: str) -> Callable[[Fence], Awaitable[None]]:
        async def work(fence: Fence) -> None:
            assert self.leading is None, "two lead at once"
            fence.check()
            term = Term(node, asyncio.get_running_loop().time())
            self.terms.append(term)
            self._turned()
            try:
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(SETTLE)  # cleaning up takes its time
                term.ended = asyncio.get_running_loop().time()
                self._turned()

        return work

    @property
    def leading(self) -> str | None:
        working = [term.node for term in self.terms if term.ended is None]
        assert len(working) <= 1
        return working[0] if working else None

    async def until(self, holds: Callable[[], bool], *, within: float = 4 * SECONDS) -> None:
        async with asyncio.timeout(within):
            while not holds():
                self._turn.clear()
                await self._turn.wait()

    async def a_leader(self, *, but: str = "") -> str:
        await self.until(lambda: self.leading not in (None, but))
        assert self.leading is not None
        return self.leading

    async def record(self) -> LeaseRecord:
        for client in self.clients.values():
            with suppress(Exception):
                return LeaseRecord.parse(
                    await client.cluster.get(LEASES, NAME, namespace=self.world.namespace, within=1) or {}
                )
        raise AssertionError("no client reaches the server")

    def _turned(self) -> None:
        self._turn.set()


@asynccontextmanager
async def contending(world: World, *nodes: str) -> AsyncIterator[Contenders]:
    """Let agents of these nodes contend until the story ends."""
    contenders = Contenders(world)
    async with AsyncExitStack() as stack:
        for node in nodes:
            contenders.clients[node] = await stack.enter_async_context(world.client(node))
        async with asyncio.TaskGroup() as group:
            for node, client in contenders.clients.items():
                lease = Lease(
                    leases=client.cluster,
                    key=Key(world.namespace, NAME),
                    identity=identity(node),
                    seconds=SECONDS,
                )
                contenders.leases[node] = lease
                contenders.tasks[node] = group.create_task(lead_for_ever(lease, contenders.work_of(node)))
            yield contenders
            for task in contenders.tasks.values():
                task.cancel()


THREE = ("n1", "n2", "n3")


def test_one_of_three_leads_and_goes_on(world: World) -> None:
    async def story(w: World) -> None:
        async with contending(w, *THREE) as c:
            leader = await c.a_leader()
            await asyncio.sleep(2 * SECONDS)
            assert (c.leading, len(c.terms)) == (leader, 1)
            assert (await c.record()).holder.startswith(f"{leader}/")
            assert c.leases[leader].counts.renewals >= 4
            assert [lease.counts.held for lease in c.leases.values()].count(True) == 1

    world.run(story)


def test_a_leader_that_ends_hands_over_at_once(world: World) -> None:
    async def story(w: World) -> None:
        async with contending(w, *THREE) as c:
            first = await c.a_leader()
            c.tasks[first].cancel()
            await c.until(lambda: c.terms[0].ended is not None)
            second = await c.a_leader(but=first)
            assert second != first
            assert c.terms[0].ended is not None
            assert c.terms[1].began - c.terms[0].ended < SECONDS
            assert (await c.record()).transitions == 1

    world.run(story)


def test_a_leader_that_is_cut_off_has_stopped_before_another_begins(world: World) -> None:
    async def story(w: World) -> None:
        async with contending(w, *THREE) as c:
            first = await c.a_leader()
            c.clients[first].cut()
            second = await c.a_leader(but=first)
            assert second != first
            assert c.terms[0].ended is not None
            assert c.terms[0].ended < c.terms[1].began
            assert c.leases[first].counts.lost == 1
            c.clients[first].heal()
            await asyncio.sleep(SECONDS)
            assert c.leading == second

    world.run(story)


def test_nobody_leads_while_the_server_is_frozen_past_the_lease(world: World) -> None:
    async def story(w: World) -> None:
        async with contending(w, *THREE) as c:
            await c.a_leader()
            async with w.frozen():
                await c.until(lambda: c.leading is None)
                await asyncio.sleep(SECONDS)
                assert c.leading is None
            await c.a_leader()
            assert all(lease.counts.overran == 0 for lease in c.leases.values())

    world.run(story)


def test_a_server_that_is_shortly_away_costs_no_leadership(world: World) -> None:
    async def story(w: World) -> None:
        async with contending(w, *THREE) as c:
            first = await c.a_leader()
            async with w.frozen():
                await asyncio.sleep(SECONDS / 4)
            await asyncio.sleep(2 * SECONDS)
            assert (c.leading, len(c.terms)) == (first, 1)

    world.run(story)


def test_a_slow_way_to_the_server_costs_no_leadership(world: World) -> None:
    async def story(w: World) -> None:
        async with contending(w, *THREE) as c:
            first = await c.a_leader()
            c.clients[first].slow(SECONDS / 10)
            await asyncio.sleep(3 * SECONDS)
            assert (c.leading, len(c.terms)) == (first, 1)

    world.run(story)


def test_a_deleted_lease_is_lost_and_won_again(world: World) -> None:
    async def story(w: World) -> None:
        async with contending(w, *THREE) as c, w.client("n4") as admin:
            await c.a_leader()
            await asyncio.sleep(SECONDS)  # the others have seen who leads
            await admin.cluster.delete(LEASES, NAME, namespace=w.namespace)
            await c.until(lambda: len(c.terms) > 1)
            assert c.terms[0].ended is not None

    world.run(story)


def test_an_edited_lease_is_kept_with_what_was_added(world: World) -> None:
    async def story(w: World) -> None:
        async with contending(w, *THREE) as c, w.client("n4") as admin:
            first = await c.a_leader()
            label = {"metadata": {"labels": {"by": "hand"}}}
            await admin.cluster.patch(LEASES, NAME, label, namespace=w.namespace)
            await asyncio.sleep(2 * SECONDS)
            assert (c.leading, len(c.terms)) == (first, 1)
            found = await admin.cluster.get(LEASES, NAME, namespace=w.namespace)
            assert found is not None
            assert found["metadata"]["labels"] == {"by": "hand"}

    world.run(story)


def test_work_that_fails_gives_the_lease_back_and_tells(world: World) -> None:
    async def story(w: World) -> None:
        async with w.client("n1") as client:
            lease = Lease(leases=client.cluster, key=Key(w.namespace, NAME), identity=identity("n1"), seconds=SECONDS)

            async def work(_: Fence) -> None:
                raise ValueError("broken")

            with pytest.raises(ExceptionGroup) as failed:
                await lead(lease, work)
            assert failed.group_contains(ValueError, match="broken")
            found = await client.cluster.get(LEASES, NAME, namespace=w.namespace)
            assert LeaseRecord.parse(found or {}).holder == ""

    world.run(story)


def test_the_lease_of_a_vanished_holder_runs_out(world: World) -> None:
    async def story(w: World) -> None:
        async with w.client("n1") as client:
            record = LeaseRecord(holder="n9/gone", seconds=SECONDS, renewed="2099-01-01T00:00:00.000000Z")
            key = Key(w.namespace, NAME)
            await client.cluster.create(LEASES, record.document(key, None))
            loop = asyncio.get_running_loop()
            began = loop.time()
            lease = Lease(leases=client.cluster, key=key, identity=identity("n1"), seconds=SECONDS)
            async with asyncio.timeout(4 * SECONDS):
                await lease.acquired()
            assert SECONDS <= loop.time() - began < 2 * SECONDS
            assert lease.counts.transitions == 1

    world.run(story)


def test_of_two_that_take_it_at_once_one_has_it(world: World) -> None:
    async def story(w: World) -> None:
        async with w.client("n1") as one, w.client("n2") as two:
            key = Key(w.namespace, NAME)
            free = await one.cluster.create(LEASES, LeaseRecord(seconds=SECONDS).document(key, None))
            await one.cluster.update(LEASES, LeaseRecord(holder="n1/a", seconds=SECONDS).document(key, free))
            with pytest.raises(ClusterConflict):
                await two.cluster.update(LEASES, LeaseRecord(holder="n2/b", seconds=SECONDS).document(key, free))

    world.run(story)
