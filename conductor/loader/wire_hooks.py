"""Where to attach, as bpfman's messages say it; generated messages stay in here and in `wire`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import betterproto

from conductor.errors import InvalidSpec
from conductor.loader.hooks import (
    Hook,
    KprobeHook,
    TcHook,
    TcxHook,
    TracepointHook,
    TracingHook,
    UprobeHook,
    XdpHook,
)
from conductor.model.kernel import Direction
from conductor.proto.bpfman import v1 as pb

__all__ = ["PATH_MOST", "hook_from_wire", "text_from_wire"]

PATH_MOST = 4_095
"""Bytes of a path (PATH_MAX without its NUL)."""
_TRACEPOINT = re.compile(r"[A-Za-z0-9_.-]+/[A-Za-z0-9_.:-]+")
_XDP_ACTIONS = frozenset({0, 1, 2, 3, 4, 31})
_TC_ACTIONS = frozenset({-1, 0, 1, 2, 3, 4, 5, 6, 7, 8, 30})
_TC_DEFAULT = frozenset({3, 30})


def hook_from_wire(request: pb.AttachRequest) -> Hook:
    """Parse where to attach. Raises `InvalidSpec`."""
    kind, info = betterproto.which_one_of(request.attach, "info")
    if info is None:
        raise InvalidSpec("attach", "says nothing of where to attach: set one of its fields")
    return _HOOKS[kind](info, f"attach.{kind}")


def text_from_wire(raw: str, where: str, *, most: int = 255) -> str:
    """Check a name or path for the kernel: not empty, not long, no NUL. Raises `InvalidSpec`."""
    if not raw:
        raise InvalidSpec(where, "empty")
    if len(raw.encode()) > most or "\0" in raw:
        raise InvalidSpec(where, f"holds a NUL or more than {most} bytes")
    return raw


def _xdp(info: pb.XdpAttachInfo, where: str) -> Hook:
    # Alone on its interface, a program has nobody to proceed to: its actions are checked and change nothing.
    _actions(info.proceed_on, _XDP_ACTIONS, where)
    return XdpHook(**_network(info, where))


def _tc(info: pb.TcAttachInfo, where: str) -> Hook:
    _actions(info.proceed_on, _TC_ACTIONS, where)
    if {*info.proceed_on} - _TC_DEFAULT:
        raise InvalidSpec(
            f"{where}.proceed_on",
            "this loader attaches TC programs through TCX, where a program's own return code (-1: next) decides who"
            " runs after it; leave it empty",
        )
    return TcHook(direction=_direction(info.direction, where), **_network(info, where))


def _tcx(info: pb.TcxAttachInfo, where: str) -> Hook:
    return TcxHook(direction=_direction(info.direction, where), **_network(info, where))


def _tracepoint(info: pb.TracepointAttachInfo, where: str) -> Hook:
    if not _TRACEPOINT.fullmatch(info.tracepoint) or ".." in info.tracepoint:
        raise InvalidSpec(f"{where}.tracepoint", f"{info.tracepoint[:80]!r} is not of the form group/name")
    return TracepointHook(name=info.tracepoint)


def _kprobe(info: pb.KprobeAttachInfo, where: str) -> Hook:
    return KprobeHook(function=text_from_wire(info.fn_name, f"{where}.fn_name"), offset=info.offset)


def _uprobe(info: pb.UprobeAttachInfo, where: str) -> Hook:
    for field, pid in (("pid", info.pid), ("container_pid", info.container_pid)):
        if pid is not None and pid <= 0:
            raise InvalidSpec(f"{where}.{field}", f"{pid} is no process id")
    if not info.fn_name and not info.offset:
        raise InvalidSpec(where, "needs fn_name, or an offset into the file")
    return UprobeHook(
        target=text_from_wire(info.target, f"{where}.target", most=PATH_MOST),
        function=text_from_wire(info.fn_name, f"{where}.fn_name", most=4096) if info.fn_name else "",
        offset=info.offset,
        pid=info.pid,
        container_pid=info.container_pid,
    )


def _network(info: Any, where: str) -> Mapping[str, Any]:
    if info.priority < 0:
        raise InvalidSpec(f"{where}.priority", f"{info.priority} is negative; 0 runs first")
    return {
        "interface": text_from_wire(info.iface, f"{where}.iface", most=15),
        "netns": text_from_wire(info.netns, f"{where}.netns", most=PATH_MOST) if info.netns else "",
        "priority": info.priority,
    }


def _direction(raw: str, where: str) -> Direction:
    if raw not in {direction.value for direction in Direction}:
        raise InvalidSpec(f"{where}.direction", f"{raw[:80]!r} is neither ingress nor egress")
    return Direction(raw)


def _actions(given: Sequence[int], known: frozenset[int], where: str) -> None:
    for action in given:
        if action not in known:
            raise InvalidSpec(f"{where}.proceed_on", f"{action} is no action; known are {sorted(known)}")


_HOOKS: Mapping[str, Callable[[Any, str], Hook]] = {
    "xdp_attach_info": _xdp,
    "tc_attach_info": _tc,
    "tcx_attach_info": _tcx,
    "tracepoint_attach_info": _tracepoint,
    "kprobe_attach_info": _kprobe,
    "uprobe_attach_info": _uprobe,
    "fentry_attach_info": lambda _info, _where: TracingHook(kind="fentry"),
    "fexit_attach_info": lambda _info, _where: TracingHook(kind="fexit"),
    "lsm_attach_info": lambda _info, _where: TracingHook(kind="lsm"),
}
