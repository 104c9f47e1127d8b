"""Links that follow containers, live on each daemon."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from dataclasses import replace

import pytest

from conductor.bpfman.flavour import Flavour
from conductor.bpfman.road import BpfmanRoad
from conductor.errors import KernelRefused
from conductor.managers.cluster_pods import LocalPods
from conductor.managers.kernel_half import KernelHalf, KernelWish
from conductor.model.cluster import Key
from conductor.model.facts import Claim, Workload
from conductor.model.facts import Pod as FactPod
from conductor.model.ids import Name
from conductor.model.kernel import (
    ContainerSelector,
    Direction,
    InterfaceSelector,
    KernelProgramSpec,
    KernelType,
    Link,
    PathObject,
    TcxLink,
    UprobeLink,
)
from conductor.model.labels import Selector
from conductor.model.program import Source
from conductor.model.status import State
from tests.managers.cgroup_containers import Pod, pod
from tests.real_bpfman.bed import Bed
from tests.real_bpfman.eyes import eventually
from tests.real_bpfman.half import Node, attached
from tests.real_bpfman.space import Space, spaced

pytestmark = [pytest.mark.kernel, pytest.mark.slow]
IN_V0 = TcxLink(interfaces=InterfaceSelector(names=("v0",)), direction=Direction.INGRESS)


@pytest.fixture
def space() -> Iterator[Space]:
    with spaced() as space:
        yield space


@pytest.fixture
def made() -> Iterator[Pod]:
    with pod(scoped=True) as made:
        yield made


CALLER = (
    "import ctypes, sys; inside = ctypes.CDLL(sys.argv[1]); print(1, flush=True)\nfor _ in sys.stdin: inside.touched()"
)


def test_uprobe_goes_into_the_files_of_a_container(bed: Bed) -> None:
    """A file that is there in the container's mount namespace alone."""
    hidden = bed.folder / "hidden"
    hidden.mkdir()
    mount = f"mount -t tmpfs tmpfs {hidden} && cp {bed.target} {hidden}/target.so"
    caller = ("unshare", "--mount", "sh", "-c", f'{mount} && exec "$@"', "sh", sys.executable, "-c", CALLER)
    with spaced(*caller, str(hidden / "target.so")) as space:
        space.wait_for_word()
        link = UprobeLink(target=str(hidden / "target.so"), function="touched", container_pid=space.process.pid)

        async def story(road: BpfmanRoad) -> None:
            (program,) = await road.load(bed.load("uprobe"))
            if bed.flavour is Flavour.RUST:  # its helper is in no registry
                with pytest.raises(KernelRefused, match="bpfman-ns"):
                    await road.attach(program.id, KernelType.UPROBE, link, "")
                return
            await road.attach(program.id, KernelType.UPROBE, link, "")
            space.say("\n\n\n")
            await asyncio.to_thread(eventually, lambda: bed.counted(program.map_pin_path, "uprobe"), 3)
            bed.touch()
            assert bed.counted(program.map_pin_path, "uprobe") == 3

        bed.tell(story)


def wish(bed: Bed, chosen: ContainerSelector) -> dict[Name, KernelWish]:
    """Count what a pod's v0 receives and, where the daemon can, the calls of `touched` in its containers."""
    links: dict[str, Link] = {"tcx": replace(IN_V0, containers=chosen)}
    if bed.flavour is not Flavour.RUST:
        links["uprobe"] = UprobeLink(target=str(bed.target), function="touched", containers=chosen)
    functions = tuple(replace(bed.function(stem), links=(link,)) for stem, link in links.items())
    spec = KernelProgramSpec(name=Name("pods"), bytecode=PathObject(path=str(bed.object)), programs=functions)
    return {spec.name: KernelWish(spec=spec, source=Source.GRPC)}


def by_uid(made: Pod) -> ContainerSelector:
    return ContainerSelector(pod_uids=(made.uid,))


async def until(half: KernelHalf, *expected: tuple[State, str]) -> None:
    """Wait for one of these states of the one program."""
    async with asyncio.timeout(20):
        while True:
            (status,) = half.observed()
            if (status.condition.state, status.condition.reason) in expected:
                return
            assert status.condition.state is not State.FAILED, status.condition
            await asyncio.sleep(0.05)


async def stands(bed: Bed, half: KernelHalf, count: int) -> None:
    """See that so many links are left. Our loader puts dead ones away at the next Attach, and lists them no more."""
    assert len(attached(half)) == count
    if bed.flavour is not Flavour.LOADER:
        await asyncio.to_thread(eventually, bed.eyes.links, attached(half))


MISSING = (State.WAITING, "ContainerMissing")
RUNNING = (State.RUNNING, "")
NOTHING = (State.RUNNING, "NothingSelected")


def test_links_follow_the_containers_of_a_pod(bed: Bed, made: Pod) -> None:
    """Also with the daemon that goes on listing links whose network namespace is gone."""
    node = Node(bed)

    async def story() -> None:
        async with node.agent() as half:
            await half.converge(wish(bed, by_uid(made)))
            await until(half, MISSING)
            for _ in range(2):
                with spaced() as space:
                    id_ = made.container()
                    made.take(id_, space.process.pid)
                    await until(half, RUNNING)
                    assert bed.eyes.links() == attached(half)
                    before = node.counted(half, "pods", "tcx")
                    space.talk()
                    assert node.counted(half, "pods", "tcx") == before + 1
                await until(half, MISSING)
                made.remove(id_)
                await stands(bed, half, 0)
            await half.converge({})

    asyncio.run(story())


def put(pods: LocalPods, made: Pod, label: str, **containers: str) -> None:
    """Have a cluster tell of the pod."""
    claim = Claim(addresses=(), workload=Workload(kind="Pod", name="web-0", namespace="shop"))
    told = {id_: name for name, id_ in containers.items()}
    pod_ = FactPod(
        namespace="shop", name="web-0", uids=(made.uid,), claim=claim, labels={"app": label}, containers=told
    )
    pods.put(Key("shop", "web-0"), pod_)


def test_links_follow_the_labels_of_a_pod(bed: Bed, made: Pod, space: Space) -> None:
    pods = LocalPods()
    pods.synced()
    node = Node(bed, pods=pods)
    chosen = ContainerSelector(pods=Selector(match_labels={"app": "web"}), namespace="shop", container_names=("app",))

    async def story() -> None:
        id_ = made.container()
        made.take(id_, space.process.pid)
        async with node.agent() as half:
            await half.converge(wish(bed, chosen))
            for _ in range(2):
                await until(half, NOTHING)
                put(pods, made, "web", app=id_)
                await until(half, RUNNING)
                assert len(attached(half)) == len(half.observed()[0].functions)
                before = node.counted(half, "pods", "tcx")
                space.talk()
                assert node.counted(half, "pods", "tcx") == before + 1
                put(pods, made, "other", app=id_)
            await until(half, NOTHING)
            await stands(bed, half, 0)
            await half.converge({})

    asyncio.run(story())


def test_containers_are_found_again_by_the_next_agent(bed: Bed, made: Pod, space: Space) -> None:
    node = Node(bed)

    async def story() -> None:
        made.take(made.container(), space.process.pid)
        async with node.agent() as half:
            await half.converge(wish(bed, by_uid(made)))
            await until(half, RUNNING)
            before = bed.eyes.links()
        async with node.agent() as half:
            await half.converge(wish(bed, by_uid(made)))
            await until(half, RUNNING)
            assert bed.eyes.links() == attached(half) == before
            assert half.counters.attaches == 0
            await half.converge({})

    asyncio.run(story())


def test_two_pods_are_each_attached_to(bed: Bed, made: Pod, space: Space) -> None:
    with pod() as second, spaced() as other:
        chosen = ContainerSelector(pod_uids=(made.uid, second.uid))
        function = replace(bed.function("tcx"), links=(replace(IN_V0, containers=chosen),))
        spec = KernelProgramSpec(name=Name("pods"), bytecode=PathObject(path=str(bed.object)), programs=(function,))
        node = Node(bed)

        async def story() -> None:
            for each, place in ((made, space), (second, other)):
                each.take(each.container(), place.process.pid)
            async with node.agent() as half:
                await half.converge({spec.name: KernelWish(spec=spec, source=Source.GRPC)})
                await until(half, RUNNING)
                assert len(attached(half)) == 2
                space.talk()
                other.talk()
                assert node.counted(half, "pods", "tcx") == 2
                space.end()
                await until(half, MISSING)
                await stands(bed, half, 1)
                other.talk()
                assert node.counted(half, "pods", "tcx") == 3
                await half.converge({})

        asyncio.run(story())
