"""What our client makes of an API server: the same stories before the fake and before the real one."""

from __future__ import annotations

from typing import Any

import pytest

from conductor import ports
from conductor.errors import AlreadyExists, ClusterConflict, ClusterInvalid, NotFound
from conductor.kube.cluster import Cluster
from conductor.model.cluster import Document, Key
from tests.kube.worlds import MAPS, PROBES, World


def a_map(world: World, name: str, **data: str) -> Document:
    return {"metadata": {"name": name, "namespace": world.namespace}, "data": data}


def a_probe(world: World, name: str, **extra: Any) -> Document:
    metadata = {"name": name, "namespace": world.namespace, **extra}
    return {"apiVersion": "test.ebpfconductor.io/v1", "kind": "Probe", "metadata": metadata, "spec": {"size": 1}}


def as_port(cluster: Cluster) -> ports.Cluster:
    """Held by the type check: our client is what controllers ask for."""
    return cluster


def names(document: Document) -> str:
    return str(document["metadata"]["name"])


async def read(cluster: Cluster, world: World, name: str) -> Document:
    found = await cluster.get(MAPS, name, namespace=world.namespace)
    assert found is not None
    return found


def test_what_was_made_is_read_and_what_was_not_is_none(world: World) -> None:
    async def story(w: World) -> None:
        async with w.client("n1") as client:
            made = await client.cluster.create(MAPS, a_map(w, "a", x="1"))
            assert (await read(client.cluster, w, "a")) == made
            assert made["metadata"]["uid"]
            assert await client.cluster.get(MAPS, "b", namespace=w.namespace) is None

    world.run(story)


def test_a_name_is_made_once(world: World) -> None:
    async def story(w: World) -> None:
        async with w.client("n1") as client:
            await client.cluster.create(MAPS, a_map(w, "a"))
            with pytest.raises(AlreadyExists, match=r'create configmaps .*a" already exists'):
                await client.cluster.create(MAPS, a_map(w, "a"))

    world.run(story)


def test_an_update_of_what_changed_meanwhile_conflicts(world: World) -> None:
    async def story(w: World) -> None:
        async with w.client("n1") as client:
            old = await client.cluster.create(MAPS, a_map(w, "a", x="1"))
            new = await client.cluster.update(MAPS, {**old, "data": {"x": "2"}})
            with pytest.raises(ClusterConflict):
                await client.cluster.update(MAPS, {**old, "data": {"x": "3"}})
            assert (await read(client.cluster, w, "a")) == new

    world.run(story)


def test_an_update_that_changes_nothing_makes_no_version(world: World) -> None:
    async def story(w: World) -> None:
        async with w.client("n1") as client:
            made = await client.cluster.create(MAPS, a_map(w, "a", x="1"))
            again = await client.cluster.update(MAPS, made)
            assert again["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]

    world.run(story)


def test_an_unguarded_update_is_not_sent(world: World) -> None:
    async def story(w: World) -> None:
        async with w.client("n1") as client:
            await client.cluster.create(MAPS, a_map(w, "a"))
            with pytest.raises(ClusterInvalid, match="resourceVersion"):
                await client.cluster.update(MAPS, a_map(w, "a", x="2"))

    world.run(story)


def test_an_update_of_what_is_gone_is_not_found(world: World) -> None:
    async def story(w: World) -> None:
        async with w.client("n1") as client:
            made = await client.cluster.create(MAPS, a_map(w, "a"))
            await client.cluster.delete(MAPS, "a", namespace=w.namespace)
            # The real server answers a guarded update of a deleted object with a conflict.
            with pytest.raises((NotFound, ClusterConflict)):
                await client.cluster.update(MAPS, {**made, "data": {"x": "2"}})

    world.run(story)


def test_spec_and_status_are_written_apart_and_generations_count_specs(world: World) -> None:
    async def story(w: World) -> None:
        async with w.client("n1") as client:
            made = await client.cluster.create(PROBES, a_probe(w, "a"))
            seen = await client.cluster.replace_status(PROBES, {**made, "spec": {"size": 9}, "status": {"seen": 1}})
            assert (seen["spec"], seen["status"], seen["metadata"]["generation"]) == ({"size": 1}, {"seen": 1}, 1)
            sized = await client.cluster.update(PROBES, {**seen, "spec": {"size": 2}, "status": {"seen": 9}})
            assert (sized["spec"], sized["status"], sized["metadata"]["generation"]) == ({"size": 2}, {"seen": 1}, 2)

    world.run(story)


def test_a_patch_merges_and_a_null_takes_away(world: World) -> None:
    async def story(w: World) -> None:
        async with w.client("n1") as client:
            await client.cluster.create(MAPS, a_map(w, "a", x="1", y="1"))
            change = {"data": {"x": None, "z": "1"}}
            patched = await client.cluster.patch(MAPS, "a", change, namespace=w.namespace)
            assert patched["data"] == {"y": "1", "z": "1"}
            stale = {"metadata": {"resourceVersion": "1"}, "data": {"x": "2"}}
            with pytest.raises(ClusterConflict):
                await client.cluster.patch(MAPS, "a", stale, namespace=w.namespace)
            with pytest.raises(NotFound):
                await client.cluster.patch(MAPS, "b", change, namespace=w.namespace)

    world.run(story)


def test_only_the_object_that_was_meant_is_deleted(world: World) -> None:
    async def story(w: World) -> None:
        async with w.client("n1") as client:
            first = await client.cluster.create(MAPS, a_map(w, "a"))
            assert await client.cluster.delete(MAPS, "a", namespace=w.namespace, uid=first["metadata"]["uid"])
            assert not await client.cluster.delete(MAPS, "a", namespace=w.namespace)
            second = await client.cluster.create(MAPS, a_map(w, "a"))
            with pytest.raises(ClusterConflict):
                await client.cluster.delete(MAPS, "a", namespace=w.namespace, uid=first["metadata"]["uid"])
            with pytest.raises(ClusterConflict):
                await client.cluster.delete(MAPS, "a", namespace=w.namespace, resource_version="1")
            assert (await read(client.cluster, w, "a")) == second

    world.run(story)


def test_a_finalizer_holds_an_object_until_it_is_taken_off(world: World) -> None:
    async def story(w: World) -> None:
        async with w.client("n1") as client:
            await client.cluster.create(PROBES, a_probe(w, "a", finalizers=["ebpfconductor.io/test"]))
            assert await client.cluster.delete(PROBES, "a", namespace=w.namespace)
            going = await client.cluster.get(PROBES, "a", namespace=w.namespace)
            assert going is not None
            assert going["metadata"]["deletionTimestamp"]
            del going["metadata"]["finalizers"]
            await client.cluster.update(PROBES, going)
            assert await client.cluster.get(PROBES, "a", namespace=w.namespace) is None

    world.run(story)


def test_a_list_longer_than_a_page_is_whole_and_selected(world: World) -> None:
    async def story(w: World) -> None:
        async with w.client("n1") as client:
            for number in range(260):
                document = a_map(w, f"m{number:03}")
                document["metadata"]["labels"] = {"half": str(number % 2)}
                await client.cluster.create(MAPS, document)
            all_ = await client.cluster.list(MAPS, names, namespace=w.namespace)
            odd = await client.cluster.list(MAPS, names, namespace=w.namespace, labels="half=1")
            one = await client.cluster.list(MAPS, names, namespace=w.namespace, fields="metadata.name=m007")
            assert (len(all_.rows), len(odd.rows)) == (260, 130)
            assert one.rows == {Key(w.namespace, "m007"): "m007"}
            assert int(all_.resource_version) > 0

    world.run(story)
