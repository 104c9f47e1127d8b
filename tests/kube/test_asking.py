"""What is asked again, what is not, and in what words it fails."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable

import pytest

from conductor.errors import ClusterAway, ClusterInvalid, ClusterRefused, ConductorError, LeadershipLost
from conductor.kube.fence import Fence
from conductor.kube.refusals import LONGEST, error_of
from conductor.kube.requests import Reply
from conductor.model.cluster import Document, Resource
from tests.fakes import virtual_time
from tests.fakes.cluster_connection import FakeConnection, FakeServer
from tests.kube.worlds import MAPS

OBJECT: Document = {"metadata": {"name": "a", "namespace": "default"}, "data": {"x": "1"}}
SECRETS = Resource("", "v1", "secrets")


def told(story: Callable[[FakeConnection], Awaitable[None]]) -> None:
    async def whole() -> None:
        await story(FakeServer().client("agent"))

    virtual_time.run(whole())


def refusal(code: int, message: str = "no", *, after: float | None = None, **extra: str) -> Reply:
    body = json.dumps({"kind": "Status", "code": code, "message": message, **extra}).encode()
    return Reply(status=code, body=body, retry_after=after)


@pytest.mark.parametrize("code", [500, 502, 503, 504, 429])
def test_a_read_is_asked_again(code: int) -> None:
    async def story(c: FakeConnection) -> None:
        c.replies.extend([refusal(code)] * 3)
        assert await c.cluster.get(MAPS, "a", namespace="default") is None
        assert c.sent == 4

    told(story)


def test_a_write_is_asked_again_only_where_nothing_was_done() -> None:
    async def story(c: FakeConnection) -> None:
        c.replies.append(refusal(429, after=3))
        began = asyncio.get_running_loop().time()
        await c.cluster.create(MAPS, OBJECT)
        assert asyncio.get_running_loop().time() - began >= 3
        c.replies.append(refusal(500))
        with pytest.raises(ClusterAway):
            await c.cluster.patch(MAPS, "a", {"data": {"x": "2"}}, namespace="default")
        assert c.sent == 3
        assert len(c.api.writes) == 1

    told(story)


def test_a_write_whose_answer_was_lost_is_not_repeated() -> None:
    async def story(c: FakeConnection) -> None:
        c.loses = 1
        with pytest.raises(ClusterAway) as lost:
            await c.cluster.create(MAPS, OBJECT)
        assert lost.value.sent
        assert (c.sent, len(c.api.writes)) == (1, 1)

    told(story)


def test_a_write_that_never_left_is_asked_again() -> None:
    async def story(c: FakeConnection) -> None:
        c.server.stop()
        asyncio.get_running_loop().call_later(2, c.server.start)
        await c.cluster.create(MAPS, OBJECT)
        assert len(c.api.writes) == 1

    told(story)


@pytest.mark.parametrize("trouble", ["down", "frozen", "busy"])
def test_every_call_ends_by_its_deadline(trouble: str) -> None:
    async def story(c: FakeConnection) -> None:
        if trouble == "down":
            c.server.stop()
        elif trouble == "frozen":
            c.server.frozen.stop()
        else:
            c.replies.extend([refusal(429, after=4)] * 9)
        began = asyncio.get_running_loop().time()
        with pytest.raises(ClusterAway):
            await c.cluster.get(MAPS, "a", namespace="default", within=7)
        assert asyncio.get_running_loop().time() - began <= 7

    told(story)


def test_a_refusal_names_verb_and_resource() -> None:
    async def story(c: FakeConnection) -> None:
        c.api.refuse = lambda _who, _request: True
        document = {**OBJECT, "metadata": {**OBJECT["metadata"], "resourceVersion": "1"}}
        with pytest.raises(ClusterRefused, match=r"update configmaps/status default/a: .* is forbidden"):
            await c.cluster.replace_status(MAPS, document)
        assert c.sent == 1

    told(story)


def test_a_body_is_cut_and_only_a_status_is_passed_on() -> None:
    assert len(str(error_of(refusal(422, "x" * 10_000), "create"))) < LONGEST + 20
    assert str(error_of(Reply(status=502, body=b"<html>token abc</html>"), "get")) == "get: HTTP 502 Bad Gateway"
    assert "abc" not in str(error_of(Reply(status=400, body=b'{"kind":"Secret","message":"abc"}'), "get"))
    assert isinstance(error_of(Reply(status=599, body=b""), "get"), ClusterAway)


def test_what_a_server_says_of_a_secret_is_kept_to_itself() -> None:
    async def story(c: FakeConnection) -> None:
        c.replies.append(refusal(422, 'data: Invalid value: "hunter2"'))
        with pytest.raises(ClusterInvalid) as refused:
            await c.cluster.create(SECRETS, OBJECT)
        assert "hunter2" not in str(refused.value)

    told(story)


# --- the fence ----------------------------------------------------------------------------------------------------------


def now() -> float:
    from conductor.kube.fence import now

    return now()


async def attempted(connection: FakeConnection, fence: Fence) -> ConductorError | None:
    try:
        await connection.cluster.fenced(fence).create(MAPS, OBJECT)
    except ConductorError as exc:
        return exc
    return None


def test_nothing_is_sent_past_the_fence_but_reads() -> None:
    async def story(c: FakeConnection) -> None:
        fence = Fence(until=now() + 5)
        await asyncio.sleep(6)
        assert isinstance(await attempted(c, fence), LeadershipLost)
        assert c.sent == 0
        assert await c.cluster.fenced(fence).get(MAPS, "a", namespace="default") is None

    told(story)


def test_a_write_that_hangs_ends_with_the_fence() -> None:
    async def story(c: FakeConnection) -> None:
        c.server.frozen.stop()
        fence = Fence(until=now() + 5)
        began = now()
        assert isinstance(await attempted(c, fence), LeadershipLost)
        assert now() - began == pytest.approx(5, abs=0.1)

    told(story)


def test_a_write_is_not_tried_again_past_the_fence() -> None:
    async def story(c: FakeConnection) -> None:
        c.replies.extend([refusal(429, after=3)] * 5)
        assert isinstance(await attempted(c, Fence(until=now() + 4)), LeadershipLost)
        assert c.sent == 2
        assert c.api.writes == []

    told(story)


def test_a_fence_that_passed_or_was_closed_stays_so() -> None:
    async def story(_: FakeConnection) -> None:
        fence = Fence(until=now() + 5)
        fence.prolong(now() + 10)
        fence.prolong(now() + 7)
        assert fence.left() == pytest.approx(10, abs=0.1)
        fence.close()
        fence.prolong(now() + 10)
        with pytest.raises(LeadershipLost):
            fence.check()

    told(story)
