"""Who the real API server takes us for: as a pod, with tokens that are replaced and that end."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from conductor.errors import ClusterRefused
from conductor.kube.access import Access
from conductor.kube.cluster import Cluster
from conductor.kube.https import Https
from tests.cluster.testbed import Testbed
from tests.kube.worlds import ACCOUNT_RULES, MAPS

pytestmark = pytest.mark.cluster


@pytest.fixture
def pod(testbed: Testbed, tmp_path: Path) -> Callable[[str], Path]:
    """A pod's folder on a node of this test alone; answers the file of its token."""
    namespace = f"pod-{uuid.uuid4().hex[:8]}"
    testbed.have("/api/v1/namespaces", {"metadata": {"name": namespace}})
    testbed.grant(namespace, *ACCOUNT_RULES, namespace=namespace)
    (tmp_path / "ca.crt").write_bytes(testbed.authority.read_bytes())
    (tmp_path / "namespace").write_text(namespace)

    def given(node: str) -> Path:
        (tmp_path / "token").write_text(testbed.token(node, namespace=namespace))
        return tmp_path / "token"

    return given


def told(testbed: Testbed, token: Path, story: Callable[[Cluster], Awaitable[None]]) -> None:
    environ = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(testbed.port)}

    async def whole() -> None:
        access = Access.of_pod(token.parent, environ=environ)
        async with asyncio.timeout(20), Https.connected(access) as transport:
            await story(Cluster(transport=transport, namespace=access.namespace))

    asyncio.run(whole())


def test_a_pod_reaches_its_server(testbed: Testbed, pod: Callable[[str], Path]) -> None:
    async def story(cluster: Cluster) -> None:
        assert (await cluster.list(MAPS, str, namespace=cluster.namespace)).rows == {}

    told(testbed, pod("n1"), story)


def test_a_replaced_token_is_used_once_the_old_one_ended(testbed: Testbed, pod: Callable[[str], Path]) -> None:
    token = pod("n1")
    good = token.read_text()
    token.write_text(f"{good[:-8]}AAAAAAAA")

    async def story(cluster: Cluster) -> None:
        with pytest.raises(ClusterRefused, match="Unauthorized") as refused:
            await cluster.get(MAPS, "a", namespace=cluster.namespace)
        assert good[:20] not in str(refused.value)
        token.write_text(good)
        assert await cluster.get(MAPS, "a", namespace=cluster.namespace) is None

    told(testbed, token, story)


def test_a_token_of_a_node_that_is_gone_is_refused(testbed: Testbed, pod: Callable[[str], Path]) -> None:
    node = f"short-{uuid.uuid4().hex[:8]}"

    async def story(cluster: Cluster) -> None:
        assert await cluster.get(MAPS, "a", namespace=cluster.namespace) is None
        testbed.call("DELETE", f"/api/v1/nodes/{node}")
        async with asyncio.timeout(15):  # the server believes its cache for 10 s
            while True:
                try:
                    await cluster.get(MAPS, "a", namespace=cluster.namespace)
                except ClusterRefused:
                    return
                await asyncio.sleep(0.5)

    told(testbed, pod(node), story)
