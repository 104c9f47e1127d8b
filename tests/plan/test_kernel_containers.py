"""Links that select containers: which stand, where, and what follows when another process is the oldest."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from conductor.model.facts import ContainerProcess
from conductor.model.ids import LinkId, Name, ProgramId
from conductor.model.kernel import (
    ContainerSelector,
    InterfaceSelector,
    KernelFunctionSpec,
    KernelProgramSpec,
    KernelType,
    PathObject,
    TcxLink,
    UprobeLink,
    XdpLink,
)
from conductor.plan.kernel import AttachLink, DetachLink, plan
from conductor.plan.kernel_links import needs_containers, resolve
from conductor.plan.kernel_pods import Scene
from conductor.plan.kernel_sets import KernelWant, LinkRecord, LinkWant, sets_of, stamp
from conductor.ports import KernelLoaded

POD, OTHER = "pod-a", "pod-b"
PAUSE = ContainerProcess(container="c0", pod_uid=POD, pid=50, started=10)
APP = ContainerProcess(container="c1", pod_uid=POD, pid=40, started=20)
LONE = ContainerProcess(container="c2", pid=60, started=30)
ETH0 = XdpLink(interfaces=InterfaceSelector(names=("eth0",)))
PROBE = UprobeLink(target="/bin/x", function="f")


def spec(link: XdpLink | TcxLink | UprobeLink, **selector: Any) -> KernelProgramSpec:
    asked = replace(link, containers=ContainerSelector(**selector))
    type_ = KernelType.UPROBE if isinstance(link, UprobeLink) else KernelType.XDP
    program = KernelFunctionSpec(name="f", type=type_, links=(asked,))
    return KernelProgramSpec(name=Name("a"), bytecode=PathObject(path="/x.o"), programs=(program,))


def wants(of: KernelProgramSpec, *processes: ContainerProcess) -> tuple[LinkWant, ...]:
    return resolve(of, (), Scene(processes=processes))[0]


def test_a_pod_has_one_network_namespace_named_by_its_oldest_process() -> None:
    (want,) = wants(spec(ETH0, pod_uids=(POD,)), APP, PAUSE, LONE)
    assert want.link == replace(ETH0, netns="/proc/50/ns/net")
    assert (want.interface, want.process) == ("eth0", PAUSE)


def test_a_probe_goes_into_every_container_of_a_pod() -> None:
    found = wants(spec(PROBE, pod_uids=(POD,)), APP, PAUSE, LONE)
    assert [want.link for want in found] == [replace(PROBE, container_pid=40), replace(PROBE, container_pid=50)]


def test_a_container_is_chosen_by_its_id() -> None:
    assert [want.process for want in wants(spec(PROBE, container_ids=("c2",)), APP, PAUSE, LONE)] == [LONE]
    assert [want.process for want in wants(spec(ETH0, container_ids=("c1",)), APP, PAUSE)] == [APP]


def test_what_is_chosen_twice_is_one_link() -> None:
    assert len(wants(spec(PROBE, pod_uids=(POD,), container_ids=("c1",)), APP)) == 1
    assert len(wants(spec(ETH0, pod_uids=(POD,), container_ids=("c1",)), APP, PAUSE)) == 1


def test_what_does_not_run_is_named() -> None:
    of = spec(PROBE, pod_uids=(POD, OTHER), container_ids=("f" * 64,))
    _, unmatched = resolve(of, (), Scene(processes=(APP,)))
    assert unmatched.containers == (
        f"no container of pod {OTHER} runs here",
        "container ffffffffffff does not run here",
    )
    assert needs_containers(of)


def held(of: KernelProgramSpec, now: ContainerProcess, before: ContainerProcess) -> tuple[object, ...]:
    """What follows when `before` was attached to and `now` is the oldest."""
    want = KernelWant(spec=of, path="/x.o", digest="d", links=wants(of, now))
    (old,) = wants(of, before)
    metadata = stamp(want, owner="o", boot_id="b", token="t", lender="")
    member = KernelLoaded(id=ProgramId(1), name="f", type=of.programs[0].type, links=(LinkId(9),), metadata=metadata)
    record = LinkRecord(name=Name("a"), program=ProgramId(1), want=old, link=LinkId(9))
    return plan({Name("a"): want}, sets_of([member], "b"), [record]).actions


def test_another_process_of_the_same_container_takes_the_place_of_the_first() -> None:
    """Old before new: both would count the same packets and calls."""
    for link in (ETH0, PROBE):
        first, second = held(spec(link, container_ids=("c1",)), replace(APP, pid=41, started=25), APP)
        assert isinstance(first, DetachLink)
        assert isinstance(second, AttachLink)


def test_the_same_pid_later_is_another_process() -> None:
    assert len(held(spec(ETH0, pod_uids=(POD,)), replace(APP, started=99), APP)) == 2
    assert held(spec(ETH0, pod_uids=(POD,)), APP, APP) == ()
