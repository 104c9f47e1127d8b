"""Which links a kernel program is to have now: selectors resolved against the interfaces and containers that there are."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace

from conductor.errors import InvalidSpec
from conductor.model.facts import ContainerProcess, Interface
from conductor.model.kernel import (
    OTHER_NAMESPACE,
    ContainerSelector,
    InterfaceSelector,
    KernelProgramSpec,
    Link,
    TcLink,
    TcxLink,
    UprobeLink,
    XdpLink,
)
from conductor.plan.kernel_sets import LinkWant

__all__ = ["Unmatched", "needs_containers", "needs_interfaces", "resolve", "selectors_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Unmatched:
    """A few words for each selector that finds nothing."""

    interfaces: tuple[str, ...] = ()
    containers: tuple[str, ...] = ()


@dataclass(slots=True)
class _Missing:
    interfaces: dict[str, None] = field(default_factory=dict)
    containers: dict[str, None] = field(default_factory=dict)


def needs_interfaces(spec: KernelProgramSpec) -> bool:
    """Whether any link depends on the interfaces of this host."""
    return any(_selector(link) is not None for program in spec.programs for link in program.links)


def needs_containers(spec: KernelProgramSpec) -> bool:
    """Whether any link depends on the containers of this host."""
    return bool(selectors_of(spec))


def selectors_of(spec: KernelProgramSpec) -> tuple[ContainerSelector, ...]:
    """Every selector of containers."""
    found = (_containers(link) for program in spec.programs for link in program.links)
    return tuple(selector for selector in found if selector is not None)


def resolve(
    spec: KernelProgramSpec, interfaces: Collection[Interface], processes: Collection[ContainerProcess] = ()
) -> tuple[tuple[LinkWant, ...], Unmatched]:
    """Answer the links that can stand now, and what selectors found nothing.

    Raises `InvalidSpec` for a pattern that is no regular expression, and for discovery in another namespace.
    """
    wants: dict[LinkWant, None] = {}
    missing = _Missing()
    for program in spec.programs:
        for asked in program.links:
            for link, process in _inside(asked, processes, missing):
                for interface, index in _places(link, interfaces, missing):
                    want = LinkWant(
                        function=program.name,
                        type=program.type,
                        link=link,
                        interface=interface,
                        index=index,
                        process=process,
                    )
                    wants[want] = None
    return tuple(wants), Unmatched(interfaces=tuple(missing.interfaces), containers=tuple(missing.containers))


def _selector(link: Link) -> InterfaceSelector | None:
    match link:
        case XdpLink() | TcLink() | TcxLink():
            return link.interfaces
        case _:
            return None


def _containers(link: Link) -> ContainerSelector | None:
    match link:
        case XdpLink() | TcLink() | TcxLink() | UprobeLink():
            return link.containers
        case _:
            return None


def _inside(
    link: Link, processes: Collection[ContainerProcess], missing: _Missing
) -> Iterator[tuple[Link, ContainerProcess | None]]:
    """The link as it is for each container that it selects; itself where it selects none."""
    match link:
        case UprobeLink(containers=ContainerSelector() as selector):
            for process in _selected(selector, processes, missing):
                yield replace(link, containers=None, container_pid=process.pid), process
        case (
            XdpLink(containers=ContainerSelector() as selector)
            | TcLink(containers=ContainerSelector() as selector)
            | TcxLink(containers=ContainerSelector() as selector)
        ):
            for process in _one_of_each_pod(_selected(selector, processes, missing)):
                yield replace(link, containers=None, netns=f"/proc/{process.pid}/ns/net"), process
        case _:
            yield link, None


def _selected(
    selector: ContainerSelector, processes: Collection[ContainerProcess], missing: _Missing
) -> list[ContainerProcess]:
    pods = {process.pod_uid for process in processes}
    containers = {process.container for process in processes}
    for uid in selector.pod_uids:
        if uid not in pods:
            missing.containers[f"no container of pod {uid} runs here"] = None
    for id_ in selector.container_ids:
        if id_ not in containers:
            missing.containers[f"container {id_[:12]} does not run here"] = None
    return [p for p in processes if p.pod_uid in selector.pod_uids or p.container in selector.container_ids]


def _one_of_each_pod(processes: Collection[ContainerProcess]) -> list[ContainerProcess]:
    """The oldest process of each pod, whose containers share one network namespace; the oldest changes least."""
    chosen: dict[str, ContainerProcess] = {}
    for process in sorted(processes, key=lambda p: (p.started, p.pid)):
        chosen.setdefault(process.pod_uid or process.container, process)
    return list(chosen.values())


def _places(link: Link, interfaces: Collection[Interface], missing: _Missing) -> Iterator[tuple[str, int]]:
    """Interface names and indices of one link; one without a name for a link that needs no interface."""
    selector = _selector(link)
    if selector is None:
        yield "", 0
    elif getattr(link, "netns", None) is not None:
        if not selector.names:
            raise InvalidSpec("interfaceSelector", OTHER_NAMESPACE)
        yield from ((name, 0) for name in selector.names)
    else:
        yield from _chosen(selector, interfaces, missing)


def _chosen(
    selector: InterfaceSelector, interfaces: Collection[Interface], missing: _Missing
) -> Iterator[tuple[str, int]]:
    here = {interface.name: interface for interface in interfaces}
    if selector.names:
        chosen = [here[name] for name in selector.names if name in here]
        missing.interfaces.update(
            (f"there is no interface {name}", None) for name in selector.names if name not in here
        )
    else:
        chosen = [i for i in here.values() if (i.primary if selector.primary else _is_discovered(selector, i.name))]
        if not chosen:
            words = "no interface has the default route" if selector.primary else "no interface is allowed"
            missing.interfaces[words] = None
    yield from ((interface.name, interface.index) for interface in chosen)


def _is_discovered(selector: InterfaceSelector, name: str) -> bool:
    if not selector.discover or any(_matches(pattern, name) for pattern in selector.exclude):
        return False
    return not selector.allow or any(_matches(pattern, name) for pattern in selector.allow)


def _matches(pattern: str, name: str) -> bool:
    """Compare with a name, or with a regular expression written `/re/`, which may match anywhere."""
    if len(pattern) < 2 or not (pattern.startswith("/") and pattern.endswith("/")):
        return pattern == name
    try:
        return re.search(pattern[1:-1], name) is not None
    except re.error as error:
        raise InvalidSpec("interfaces", f"{pattern} is no regular expression: {error}") from None
