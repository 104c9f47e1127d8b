"""Links of kernel programs in manifests, in bpfman's vocabulary: one section per type."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from conductor.model.kernel import (
    ContainerSelector,
    Direction,
    FentryLink,
    FexitLink,
    KernelFunctionSpec,
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
from conductor.model.manifest_containers import containers_of, containers_spec_of
from conductor.model.manifest_fields import Fields
from conductor.model.manifest_interfaces import selector_of, selector_spec_of

__all__ = ["links_of", "links_spec_of"]

_DIRECTIONS = {"Ingress": Direction.INGRESS, "Egress": Direction.EGRESS} | {d.value: d for d in Direction}
_TARGETS = {KernelType.FENTRY: "function", KernelType.FEXIT: "function", KernelType.LSM: "hook"}


def links_of(kind: KernelType, program: Fields) -> tuple[tuple[Link, ...], str]:
    """Parse the section of a program's type: its links, and what is fixed at load (fentry, fexit, LSM)."""
    target_key = _TARGETS.get(kind)
    section = program.fields(kind.value.lower(), required=target_key is not None)
    target = section.text(target_key) if target_key else ""
    links = section.records("links", _PARSERS[kind])
    section.refuse_unknown()
    return links, target


def links_spec_of(function: KernelFunctionSpec) -> dict[str, Any]:
    """Print the section of a program's type; nothing when there is nothing to say."""
    section: dict[str, Any] = {}
    if target_key := _TARGETS.get(function.type):
        section[target_key] = function.attach_to
    if function.links:
        section["links"] = [_link_spec_of(function.type, link) for link in function.links]
    return {function.type.value.lower(): section} if section else {}


def _xdp_of(link: Fields) -> XdpLink:
    return XdpLink(**_net_of(link), proceed_on=_verdicts_of(link, ("Pass", "DispatcherReturn")))


def _tc_of(link: Fields) -> TcLink:
    direction = link.choice("direction", _DIRECTIONS)
    verdicts = _verdicts_of(link, ("Pipe", "DispatcherReturn"))
    return TcLink(**_net_of(link), direction=direction, proceed_on=verdicts)


def _tcx_of(link: Fields) -> TcxLink:
    return TcxLink(**_net_of(link), direction=link.choice("direction", _DIRECTIONS))


def _net_of(link: Fields) -> dict[str, Any]:
    return {
        "interfaces": selector_of(link.fields("interfaceSelector", required=True)),
        "priority": link.integer("priority", default=1000),
        "netns": link.text("netns", default="") or None,
        "containers": _selected(link, "networkNamespaces"),
    }


def _selected(link: Fields, key: str) -> ContainerSelector | None:
    if not link.has(key):
        link.ignore(key)
        return None
    return containers_of(link.fields(key))


def _verdicts_of(link: Fields, default: tuple[str, ...]) -> tuple[str, ...]:
    return link.texts("proceedOn") or default


def _tracepoint_of(link: Fields) -> TracepointLink:
    return TracepointLink(name=link.text("name"))


def _kprobe_of(link: Fields) -> KprobeLink:
    offset = link.integer("offset", default=0)
    return KprobeLink(function=link.text("function"), offset=offset or 0)


def _kretprobe_of(link: Fields) -> KprobeLink:
    return KprobeLink(function=link.text("function"))


def _uprobe_of(link: Fields) -> UprobeLink:
    return UprobeLink(
        target=link.text("target"),
        function=link.text("function", default=""),
        offset=link.integer("offset", default=0, most=(1 << 63) - 1) or 0,
        pid=link.integer("pid", default=None),
        container_pid=link.integer("containerPid", default=None),
        containers=_selected(link, "containers"),
    )


def _fixed(made: type[FentryLink | FexitLink | LsmLink]) -> Callable[[Fields], Link]:
    def parse(link: Fields) -> Link:
        link.ignore("mode")  # there is one
        return made()

    return parse


_PARSERS: dict[KernelType, Callable[[Fields], Link]] = {
    KernelType.XDP: _xdp_of,
    KernelType.TC: _tc_of,
    KernelType.TCX: _tcx_of,
    KernelType.TRACEPOINT: _tracepoint_of,
    KernelType.KPROBE: _kprobe_of,
    KernelType.KRETPROBE: _kretprobe_of,
    KernelType.UPROBE: _uprobe_of,
    KernelType.URETPROBE: _uprobe_of,
    KernelType.FENTRY: _fixed(FentryLink),
    KernelType.FEXIT: _fixed(FexitLink),
    KernelType.LSM: _fixed(LsmLink),
}


def _link_spec_of(kind: KernelType, link: Link) -> dict[str, Any]:
    match link:
        case XdpLink() | TcLink() | TcxLink():
            return _net_spec_of(link)
        case TracepointLink(name=name):
            return {"name": name}
        case KprobeLink(function=function, offset=offset):
            return {"function": function} | ({"offset": offset} if offset and kind is KernelType.KPROBE else {})
        case UprobeLink():
            return _uprobe_spec_of(link)
        case FentryLink() | FexitLink() | LsmLink():
            return {"mode": "Attach"}


def _net_spec_of(link: XdpLink | TcLink | TcxLink) -> dict[str, Any]:
    body: dict[str, Any] = {"interfaceSelector": selector_spec_of(link.interfaces), "priority": link.priority}
    if not isinstance(link, XdpLink):
        body["direction"] = link.direction.value.capitalize()
    if not isinstance(link, TcxLink):
        body["proceedOn"] = list(link.proceed_on)
    if link.netns is not None:
        body["netns"] = link.netns
    if link.containers is not None:
        body["networkNamespaces"] = containers_spec_of(link.containers)
    return body


def _uprobe_spec_of(link: UprobeLink) -> dict[str, Any]:
    body: dict[str, Any] = {"target": link.target}
    if link.function:
        body["function"] = link.function
    if link.offset or not link.function:
        body["offset"] = link.offset
    if link.containers is not None:
        body["containers"] = containers_spec_of(link.containers)
    return body | {k: v for k, v in (("pid", link.pid), ("containerPid", link.container_pid)) if v is not None}
