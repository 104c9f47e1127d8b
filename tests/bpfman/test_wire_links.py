"""Links on bpfman's wire."""

from __future__ import annotations

import pytest

from conductor.bpfman.wire_links import attach_from_wire, attach_to_wire
from conductor.errors import InvalidSpec
from conductor.model.ids import ProgramId
from conductor.model.kernel import (
    ContainerSelector,
    Direction,
    FentryLink,
    FexitLink,
    InterfaceSelector,
    KernelType,
    KprobeLink,
    Link,
    LsmLink,
    TcLink,
    TcxLink,
    TracepointLink,
    UprobeLink,
    XdpLink,
)
from conductor.proto.bpfman.v1 import AttachInfo, AttachRequest, TcxAttachInfo, XdpAttachInfo

ETH0 = InterfaceSelector(names=("eth0",))
EVERY_LINK: list[tuple[KernelType, Link, str]] = [
    (KernelType.XDP, XdpLink(interfaces=ETH0, priority=0, proceed_on=("Pass", "Drop")), "eth0"),
    (KernelType.XDP, XdpLink(interfaces=ETH0, netns="/run/netns/a"), "eth0"),
    (KernelType.TC, TcLink(interfaces=ETH0, direction=Direction.EGRESS, proceed_on=("UnSpec", "Pipe")), "eth0"),
    (KernelType.TCX, TcxLink(interfaces=ETH0, direction=Direction.INGRESS, priority=50), "eth0"),
    (KernelType.TRACEPOINT, TracepointLink(name="raw_syscalls/sys_enter"), ""),
    (KernelType.KPROBE, KprobeLink(function="do_unlinkat", offset=8), ""),
    (KernelType.KRETPROBE, KprobeLink(function="do_unlinkat"), ""),
    (KernelType.UPROBE, UprobeLink(target="libc", function="malloc", pid=12), ""),
    (KernelType.UPROBE, UprobeLink(target="/bin/x", offset=4096, container_pid=99), ""),
    (KernelType.URETPROBE, UprobeLink(target="libc", function="malloc"), ""),
    (KernelType.FENTRY, FentryLink(), ""),
    (KernelType.FEXIT, FexitLink(), ""),
    (KernelType.LSM, LsmLink(), ""),
]


@pytest.mark.parametrize(("type_", "link", "interface"), EVERY_LINK)
def test_link_comes_back_from_its_bytes(type_: KernelType, link: Link, interface: str) -> None:
    message = attach_to_wire(ProgramId(7), type_, link, interface)
    assert attach_from_wire(AttachRequest().parse(bytes(message))) == (ProgramId(7), link, interface)


def test_attach_is_printed_as_the_go_daemon_was_seen_to_read_it() -> None:
    link = TracepointLink(name="raw_syscalls/sys_enter")
    message = attach_to_wire(ProgramId(183), KernelType.TRACEPOINT, link, "")
    assert bytes(message).hex() == "08b701121a1a180a167261775f73797363616c6c732f7379735f656e746572"


def test_link_of_another_kind_is_refused_before_it_is_sent() -> None:
    with pytest.raises(InvalidSpec, match="XDP program takes no TracepointLink"):
        attach_to_wire(ProgramId(7), KernelType.XDP, TracepointLink(name="a/b"), "")


@pytest.mark.parametrize("priority", [-1, 1001])
def test_priority_out_of_range_is_refused(priority: int) -> None:
    link = TcxLink(interfaces=ETH0, direction=Direction.INGRESS, priority=priority)
    with pytest.raises(InvalidSpec, match="priority"):
        attach_to_wire(ProgramId(7), KernelType.TCX, link, "eth0")


def test_verdict_nobody_knows_is_refused() -> None:
    with pytest.raises(InvalidSpec, match="'Maybe'"):
        attach_to_wire(ProgramId(7), KernelType.XDP, XdpLink(interfaces=ETH0, proceed_on=("Maybe",)), "eth0")


def test_network_link_without_an_interface_is_refused() -> None:
    with pytest.raises(InvalidSpec, match="no interface"):
        attach_to_wire(ProgramId(7), KernelType.XDP, XdpLink(interfaces=ETH0), "")


@pytest.mark.parametrize(
    "info",
    [
        AttachInfo(),
        AttachInfo(xdp_attach_info=XdpAttachInfo(iface="eth0", proceed_on=[77])),
        AttachInfo(tcx_attach_info=TcxAttachInfo(iface="eth0", direction="sideways")),
    ],
)
def test_link_that_nobody_knows_is_an_error(info: AttachInfo) -> None:
    with pytest.raises(InvalidSpec):
        attach_from_wire(AttachRequest(id=1, attach=info))


def test_a_link_whose_container_was_not_chosen_is_never_sent() -> None:
    link = UprobeLink(target="/bin/x", function="f", containers=ContainerSelector(pod_uids=("x",)))
    with pytest.raises(InvalidSpec, match="no container was chosen"):
        attach_to_wire(ProgramId(1), KernelType.UPROBE, link, "")
