"""Links in bpfman's messages and back: one message per kind, which must be the kind of the program's type.

The Rust daemon panics on an AttachInfo of another kind, so a mismatch is refused before anything is sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import betterproto

from conductor.errors import InvalidSpec
from conductor.model.ids import ProgramId
from conductor.model.kernel import (
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
from conductor.proto.bpfman.v1 import (
    AttachInfo,
    AttachRequest,
    FentryAttachInfo,
    FexitAttachInfo,
    KprobeAttachInfo,
    LsmAttachInfo,
    TcAttachInfo,
    TcxAttachInfo,
    TracepointAttachInfo,
    UprobeAttachInfo,
    XdpAttachInfo,
)

__all__ = ["attach_from_wire", "attach_to_wire", "link_from_wire", "link_to_wire"]

_LINK_OF: dict[KernelType, type] = {
    KernelType.XDP: XdpLink,
    KernelType.TC: TcLink,
    KernelType.TCX: TcxLink,
    KernelType.TRACEPOINT: TracepointLink,
    KernelType.KPROBE: KprobeLink,
    KernelType.KRETPROBE: KprobeLink,
    KernelType.UPROBE: UprobeLink,
    KernelType.URETPROBE: UprobeLink,
    KernelType.FENTRY: FentryLink,
    KernelType.FEXIT: FexitLink,
    KernelType.LSM: LsmLink,
}
_XDP_VERDICTS = {"Aborted": 0, "Drop": 1, "Pass": 2, "TX": 3, "ReDirect": 4, "DispatcherReturn": 31}
_TC_VERDICTS = {
    "UnSpec": -1,
    "OK": 0,
    "ReClassify": 1,
    "Shot": 2,
    "Pipe": 3,
    "Stolen": 4,
    "Queued": 5,
    "Repeat": 6,
    "ReDirect": 7,
    "Trap": 8,
    "DispatcherReturn": 30,
}


def attach_to_wire(program: ProgramId, type_: KernelType, link: Link, interface: str) -> AttachRequest:
    """Print an Attach. Raises `InvalidSpec` when the link does not fit the program's type."""
    if not isinstance(link, _LINK_OF[type_]):
        raise InvalidSpec("links", f"a {type_} program takes no {type(link).__name__}")
    return AttachRequest(id=program, attach=link_to_wire(link, interface))


def attach_from_wire(message: AttachRequest) -> tuple[ProgramId, Link, str]:
    """Parse an Attach: program, link and interface. Raises `InvalidSpec`."""
    return (ProgramId(message.id), *link_from_wire(message.attach))


def link_to_wire(link: Link, interface: str) -> AttachInfo:
    """Print a link; `interface` is the one that its selector was resolved to. Raises `InvalidSpec`."""
    if getattr(link, "containers", None) is not None:
        # Sent as it is it would stand on the host instead.
        raise InvalidSpec("containers", "no container was chosen for this link")
    match link:
        case XdpLink() | TcLink() | TcxLink():
            return _net_to_wire(link, interface)
        case TracepointLink(name=name):
            return AttachInfo(tracepoint_attach_info=TracepointAttachInfo(tracepoint=name))
        case KprobeLink(function=function, offset=offset):
            return AttachInfo(kprobe_attach_info=KprobeAttachInfo(fn_name=function, offset=offset))
        case UprobeLink():
            return AttachInfo(
                uprobe_attach_info=UprobeAttachInfo(
                    fn_name=link.function or None,
                    offset=link.offset,
                    target=link.target,
                    pid=link.pid,
                    container_pid=link.container_pid,
                )
            )
        case FentryLink():
            return AttachInfo(fentry_attach_info=FentryAttachInfo())
        case FexitLink():
            return AttachInfo(fexit_attach_info=FexitAttachInfo())
        case LsmLink():
            return AttachInfo(lsm_attach_info=LsmAttachInfo())


def _net_to_wire(link: XdpLink | TcLink | TcxLink, interface: str) -> AttachInfo:
    if not 0 <= link.priority <= 1000:
        raise InvalidSpec("priority", f"{link.priority} is not between 0 (first) and 1000 (last)")
    if not interface:
        raise InvalidSpec("interfaces", "no interface was chosen for this link")
    where: dict[str, Any] = {"priority": link.priority, "iface": interface, "netns": link.netns}
    match link:
        case XdpLink():
            proceed = _verdicts(link.proceed_on, _XDP_VERDICTS)
            return AttachInfo(xdp_attach_info=XdpAttachInfo(**where, proceed_on=proceed))
        case TcLink():
            proceed = _verdicts(link.proceed_on, _TC_VERDICTS)
            info = TcAttachInfo(**where, direction=link.direction.value, proceed_on=proceed)
            return AttachInfo(tc_attach_info=info)
        case TcxLink():
            return AttachInfo(tcx_attach_info=TcxAttachInfo(**where, direction=link.direction.value))


def link_from_wire(info: AttachInfo) -> tuple[Link, str]:
    """Parse a link and its interface. Raises `InvalidSpec` for an empty or unknown one."""
    kind, message = betterproto.which_one_of(info, "info")
    match message:
        case XdpAttachInfo() | TcAttachInfo() | TcxAttachInfo():
            return _net_from_wire(message), message.iface
        case TracepointAttachInfo():
            return TracepointLink(name=message.tracepoint), ""
        case KprobeAttachInfo():
            return KprobeLink(function=message.fn_name, offset=message.offset), ""
        case UprobeAttachInfo():
            return _uprobe_from_wire(message), ""
        case FentryAttachInfo():
            return FentryLink(), ""
        case FexitAttachInfo():
            return FexitLink(), ""
        case LsmAttachInfo():
            return LsmLink(), ""
        case _:
            raise InvalidSpec("attach", f"{kind or 'nothing'} is no kind of link that we know")


def _uprobe_from_wire(message: UprobeAttachInfo) -> UprobeLink:
    return UprobeLink(
        target=message.target,
        function=message.fn_name or "",
        offset=message.offset,
        pid=message.pid,
        container_pid=message.container_pid,
    )


def _net_from_wire(message: XdpAttachInfo | TcAttachInfo | TcxAttachInfo) -> XdpLink | TcLink | TcxLink:
    interfaces = InterfaceSelector(names=(message.iface,))
    if isinstance(message, XdpAttachInfo):
        return XdpLink(
            interfaces=interfaces,
            priority=message.priority,
            proceed_on=_names(message.proceed_on, _XDP_VERDICTS),
            netns=message.netns,
        )
    try:
        direction = Direction(message.direction)
    except ValueError:
        raise InvalidSpec("direction", f"{message.direction!r} is neither ingress nor egress") from None
    if isinstance(message, TcxAttachInfo):
        return TcxLink(interfaces=interfaces, direction=direction, priority=message.priority, netns=message.netns)
    return TcLink(
        interfaces=interfaces,
        direction=direction,
        priority=message.priority,
        proceed_on=_names(message.proceed_on, _TC_VERDICTS),
        netns=message.netns,
    )


def _verdicts(names: Sequence[str], known: dict[str, int]) -> list[int]:
    folded = {name.lower(): number for name, number in known.items()}
    unknown = [name for name in names if name.lower() not in folded]
    if unknown:
        raise InvalidSpec("proceed_on", f"{unknown[0]!r} is none of {', '.join(known)}")
    return [folded[name.lower()] for name in names]


def _names(numbers: Sequence[int], known: dict[str, int]) -> tuple[str, ...]:
    by_number = {number: name for name, number in known.items()}
    unknown = [number for number in numbers if number not in by_number]
    if unknown:
        raise InvalidSpec("proceed_on", f"{unknown[0]} is no verdict of this program type")
    return tuple(by_number[number] for number in numbers)
