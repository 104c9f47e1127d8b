"""The lease under faults that only the fake can make at will, in virtual time."""

from __future__ import annotations

import asyncio

import pytest

from conductor.errors import LeadershipLost
from conductor.kube.fence import Fence
from conductor.kube.leader import lead, lead_for_ever
from conductor.kube.lease import EAGER
from conductor.kube.lease_record import LeaseRecord
from conductor.model.cluster import LEASES, Document
from tests.fakes.cluster_connection import FakeServer
from tests.kube.terms import KEY, SECONDS, Log, a_lease, told
from tests.kube.worlds import MAPS


@pytest.mark.parametrize("skew", [-86400.0, 86400.0])
def test_wall_clocks_may_differ_by_days(skew: float) -> None:
    async def story(s: FakeServer) -> None:
        log = Log()
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(lead_for_ever(a_lease(s.client(who), by), log.work(who)))
                for who, by in (("n1", skew), ("n2", 0.0))
            ]
            await asyncio.sleep(600)
            assert log.working is not None
            assert len(log.terms) == 1
            for task in tasks:
                task.cancel()

    told(story)


def test_a_renewal_whose_answer_is_lost_every_time_is_seen_by_reading() -> None:
    async def story(s: FakeServer) -> None:
        client, log = s.client("n1"), Log()
        lease = a_lease(client)
        async with asyncio.TaskGroup() as group:
            task = group.create_task(lead_for_ever(lease, log.work("n1")))
            for _ in range(200):
                await asyncio.sleep(1)
                client.loses = 1 if client.sent % 2 else 0
            assert (log.working, len(log.terms)) == ("n1", 1)
            task.cancel()

    told(story)


def test_a_slow_server_is_no_reason_to_step_down() -> None:
    async def story(s: FakeServer) -> None:
        client, log = s.client("n1"), Log()
        async with asyncio.TaskGroup() as group:
            task = group.create_task(lead_for_ever(a_lease(client), log.work("n1")))
            await asyncio.sleep(1)
            client.delay = 2.0
            await asyncio.sleep(600)
            assert (log.working, len(log.terms)) == ("n1", 1)
            task.cancel()

    told(story)


def test_an_acquisition_whose_answer_was_lost_need_not_run_out() -> None:
    async def story(s: FakeServer) -> None:
        client = s.client("n1")
        client.loses = 2
        began = asyncio.get_running_loop().time()
        await a_lease(client).acquired()
        assert asyncio.get_running_loop().time() - began < SECONDS

    told(story)


def test_leadership_counts_from_sending_not_from_the_answer() -> None:
    async def story(s: FakeServer) -> None:
        client = s.client("n1")
        client.delay = 2.0
        fence = await a_lease(client).acquired()
        assert fence.left() == pytest.approx(SECONDS * 2 / 3 - 4, abs=0.1)

    told(story)


def test_cleaning_up_may_take_until_the_lease_runs_out_and_is_counted_past_it() -> None:
    async def story(s: FakeServer) -> None:
        for cleanup, overran in ((SECONDS / 4, 0), (SECONDS, 1)):
            client, log = s.client("n1"), Log()
            lease = a_lease(client)
            async with asyncio.TaskGroup() as group:
                leading = group.create_task(lead(lease, log.work("n1", cleanup)))
                await asyncio.sleep(2 * SECONDS)  # the one before runs out first
                client.cut.stop()
                await leading
            assert (lease.counts.lost, lease.counts.overran) == (1, overran)
            await asyncio.sleep(3 * SECONDS)

    told(story)


def test_a_cancelled_leader_renews_while_its_work_stops_and_then_gives_back() -> None:
    async def story(s: FakeServer) -> None:
        log = Log()
        async with asyncio.TaskGroup() as group:
            leading = group.create_task(lead(a_lease(s.client("n1")), log.work("n1", cleanup=3 * SECONDS)))
            second = group.create_task(lead_for_ever(a_lease(s.client("n2")), log.work("n2")))
            await asyncio.sleep(1)
            first = log.working
            (leading if first == "n1" else second).cancel()
            await asyncio.sleep(2 * SECONDS)
            assert log.working == first
            await asyncio.sleep(2 * SECONDS)
            second.cancel()
            leading.cancel()

    told(story)


def test_a_leader_that_ends_after_a_renewal_without_an_answer_gives_it_back() -> None:
    async def story(s: FakeServer) -> None:
        client, log = s.client("n1"), Log()
        async with asyncio.TaskGroup() as group:
            leading = group.create_task(lead(a_lease(client), log.work("n1")))
            await asyncio.sleep(1)
            client.loses = 1
            await asyncio.sleep(3)
            leading.cancel()
        record = LeaseRecord.parse(await client.cluster.get(LEASES, KEY.name, namespace=KEY.namespace) or {})
        assert record.holder == ""

    told(story)


def test_the_work_s_own_sends_are_refused_once_leadership_is_over() -> None:
    async def story(s: FakeServer) -> None:
        client = s.client("n1")
        fences: list[Fence] = []

        async def work(fence: Fence) -> None:
            fences.append(fence)
            await asyncio.Event().wait()

        async with asyncio.TaskGroup() as group:
            leading = group.create_task(lead(a_lease(client), work))
            await asyncio.sleep(1)
            client.cut.stop()
            await leading
        client.cut.go_on()
        document: Document = {"metadata": {"name": "a", "namespace": "default"}}
        with pytest.raises(LeadershipLost):
            await client.cluster.fenced(fences[0]).create(MAPS, document)

    told(story)


def test_work_that_returns_is_a_fault() -> None:
    async def story(s: FakeServer) -> None:
        async def work(_: Fence) -> None:
            await asyncio.sleep(1)

        with pytest.raises(ExceptionGroup) as failed:
            await lead(a_lease(s.client("n1")), work)
        assert failed.group_contains(RuntimeError, match="ended by itself")

    told(story)


def test_of_many_candidates_few_look_often() -> None:
    async def story(s: FakeServer) -> None:
        many = 400
        holder = a_lease(s.client("leader"))
        holder.candidates = many
        fence = await holder.acquired()
        clients = [s.client(f"n{number}") for number in range(many)]
        async with asyncio.TaskGroup() as group:
            tasks: list[asyncio.Task[object]] = [group.create_task(a_lease(client).acquired()) for client in clients]
            tasks.append(group.create_task(holder.renew_until_lost(fence)))
            await asyncio.sleep(60)
            before = sum(client.sent for client in clients)
            await asyncio.sleep(60)
            sent = sum(client.sent for client in clients) - before
            for task in tasks:
                task.cancel()
        assert sent < many + 4 * EAGER * 60 / (SECONDS / 6)
        record = LeaseRecord.parse(await clients[0].cluster.get(LEASES, KEY.name, namespace=KEY.namespace) or {})
        assert record.candidates == many

    told(story)
