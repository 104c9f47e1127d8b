"""Where links go that name no network namespace."""

from __future__ import annotations

from conductor.model.ids import Name
from conductor.model.kernel import (
    ContainerSelector,
    Direction,
    InterfaceSelector,
    KernelFunctionSpec,
    KernelProgramSpec,
    KernelType,
    Link,
    PathObject,
    TcLink,
    TcxLink,
    TracepointLink,
    XdpLink,
)
from conductor.plan.kernel_home import at_home

ETH0 = InterfaceSelector(names=("eth0",))
PODS = ContainerSelector(pod_uids=("0a1b2c3d-0001-4002-8003-0a1b2c3d4e5f",))
HOST = "/proc/1/ns/net"


def spec(*links: Link) -> KernelProgramSpec:
    program = KernelFunctionSpec(name="f", type=KernelType.TCX, links=links)
    return KernelProgramSpec(name=Name("a"), bytecode=PathObject(path="/x.o"), programs=(program,))


def placed(link: Link) -> Link:
    ((found,),) = [program.links for program in at_home(spec(link), HOST).programs]
    return found


def test_links_that_name_none_are_given_one() -> None:
    assert placed(XdpLink(interfaces=ETH0)) == XdpLink(interfaces=ETH0, netns=HOST)
    tc = TcLink(interfaces=ETH0, direction=Direction.INGRESS, netns=HOST)
    assert placed(TcLink(interfaces=ETH0, direction=Direction.INGRESS)) == tc
    tcx = TcxLink(interfaces=ETH0, direction=Direction.EGRESS, netns=HOST)
    assert placed(TcxLink(interfaces=ETH0, direction=Direction.EGRESS)) == tcx


def test_others_stay_as_they_are() -> None:
    for link in (
        XdpLink(interfaces=ETH0, netns="/run/netns/a"),
        TcxLink(interfaces=ETH0, direction=Direction.INGRESS, containers=PODS),
        TracepointLink(name="sched/sched_switch"),
    ):
        assert placed(link) == link


def test_by_default_the_daemons_own_is_meant() -> None:
    asked = spec(XdpLink(interfaces=ETH0))
    assert at_home(asked, None) is asked
