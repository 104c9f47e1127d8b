"""One maker of links per kind of hook."""

from __future__ import annotations

import errno
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conductor.bpf import links, pins
from conductor.bpf.descriptor import Descriptor
from conductor.bpf.link_info import link_info
from conductor.errors import AlreadyExists, ConductorError, KernelRefused, NotSupported
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
from conductor.loader.records import LinkRecord, Place
from conductor.loader.uprobe_target import opened_target
from conductor.model.kernel import KernelType
from conductor.net.netns import inside, interface_index, netns_of

__all__ = ["Neighbour", "make_link", "place_of", "stands"]


@dataclass(frozen=True, slots=True)
class Neighbour:
    """Another link of ours on the same interface."""

    link: LinkRecord
    pin: Path


@dataclass(frozen=True, slots=True)
class _Wanted:
    """Everything that a maker may need."""

    program: int
    type: KernelType
    hook: Any
    place: Place | None
    neighbours: tuple[Neighbour, ...]


def make_link(program: int, type_: KernelType, link: LinkRecord, neighbours: tuple[Neighbour, ...]) -> Descriptor:
    """Attach the program behind a descriptor. Raises as the functions of `bpf.links`."""
    return _MAKERS[type(link.hook)](_Wanted(program, type_, link.hook, link.place, neighbours))


def place_of(hook: Hook) -> Place | None:
    """Find the interface that a hook names; None where it names none. Raises `NotFound`, `InvalidSpec`."""
    if not isinstance(hook, XdpHook | TcHook | TcxHook):
        return None
    netns = hook.netns or None
    space = netns_of(netns)
    return Place(device=space.device, inode=space.inode, index=inside(netns, lambda: interface_index(hook.interface)))


def stands(link: int) -> bool:
    """Whether a network link still has its interface: one that went leaves the link behind with none."""
    return link_info(link).detail.get("ifindex", 1) != 0


def _tracepoint(wanted: _Wanted) -> Descriptor:
    return links.tracepoint(wanted.program, wanted.hook.name)


def _kprobe(wanted: _Wanted) -> Descriptor:
    hook: KprobeHook = wanted.hook
    return links.kprobe(wanted.program, hook.function, hook.offset, wanted.type is KernelType.KRETPROBE)


def _uprobe(wanted: _Wanted) -> Descriptor:
    hook: UprobeHook = wanted.hook
    with opened_target(hook.target, hook.container_pid) as binary:
        return links.uprobe(
            wanted.program,
            binary,
            symbol=hook.function,
            offset=hook.offset,
            pid=hook.pid,
            retprobe=wanted.type is KernelType.URETPROBE,
        )


def _tracing(wanted: _Wanted) -> Descriptor:
    return links.tracing(wanted.program)


def _xdp(wanted: _Wanted) -> Descriptor:
    hook: XdpHook = wanted.hook
    index = _index(wanted)

    def attach() -> Descriptor:
        try:
            return _xdp_in(links.XdpMode.DRIVER, wanted.program, index, hook)
        except NotSupported:
            # Drivers without XDP, and those that cannot do it now (MTU, queues): the generic path can.
            return _xdp_in(links.XdpMode.GENERIC, wanted.program, index, hook)

    return inside(hook.netns or None, attach)


def _xdp_in(mode: links.XdpMode, program: int, index: int, hook: XdpHook) -> Descriptor:
    try:
        return links.xdp(program, index, mode)
    except (AlreadyExists, KernelRefused) as error:
        # Busy in this mode, or there is one in the other: either way it holds the interface.
        if isinstance(error.__cause__, OSError) and error.__cause__.errno in (errno.EBUSY, errno.EEXIST):
            raise KernelRefused(
                f"another XDP program is attached to {hook.interface}, and without bpfman's dispatcher there is room for"
                " one: detach it first"
            ) from error
        if mode is links.XdpMode.DRIVER:
            raise NotSupported(str(error)) from error
        raise


def _tcx(wanted: _Wanted) -> Descriptor:
    hook: TcxHook | TcHook = wanted.hook
    index = _index(wanted)

    def attach() -> Descriptor:
        with ExitStack() as opened:
            later = _later(hook, wanted.neighbours, opened)
            chain = links.tcx_chain(index, hook.direction).programs if later else ()
            before = next((later[link] for _, link in chain if link in later), None)
            return links.tcx(wanted.program, index, hook.direction, before=before)

    return inside(hook.netns or None, attach)


def _later(hook: TcxHook | TcHook, neighbours: tuple[Neighbour, ...], opened: ExitStack) -> dict[int, int]:
    """Descriptors, by the kernel's id, of links that run after one of this priority; equals run before it."""
    found = {}
    for neighbour in neighbours:
        other = neighbour.link.hook
        if not isinstance(other, TcHook | TcxHook) or other.direction is not hook.direction:
            continue
        if other.priority > hook.priority:
            with suppress(ConductorError):
                fd = opened.enter_context(pins.open_link(neighbour.pin)).fileno()
                found[link_info(fd).id] = fd
    return found


def _index(wanted: _Wanted) -> int:
    assert wanted.place is not None
    return wanted.place.index


_MAKERS: Mapping[type[Hook], Callable[[_Wanted], Descriptor]] = {
    XdpHook: _xdp,
    TcHook: _tcx,
    TcxHook: _tcx,
    TracepointHook: _tracepoint,
    KprobeHook: _kprobe,
    UprobeHook: _uprobe,
    TracingHook: _tracing,
}
