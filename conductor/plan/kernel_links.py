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
from conductor.model.status import State
from conductor.plan.kernel_pods import HOSTS, NOTHING, Scene, choose, selector_of
from conductor.plan.kernel_sets import LinkWant

__all__ = ["Unmatched", "needs_containers", "needs_interfaces", "outcome_of", "resolve", "selectors_of"]


MOST_LINKS = 512
"""Links of one program into containers; each change of one writes a record of them all."""
MOST_SENTENCES = 4
FULL = "TooManyLinks"
RUNS_WITH = frozenset({NOTHING, HOSTS, FULL})
"""Reasons of remarks with which a program runs; with others it waits for somebody to tell of pods."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unmatched:
    """A few words for each selector that finds nothing, or not all."""

    interfaces: tuple[str, ...] = ()
    containers: tuple[str, ...] = ()
    remarks: tuple[tuple[str, str], ...] = ()
    """Reasons and sentences about pods by labels; it is no fault that a node has none of them."""
    left_out: int = 0
    """Links past the bound of one program."""


@dataclass(slots=True)
class _Missing:
    interfaces: dict[str, None] = field(default_factory=dict)
    containers: dict[str, None] = field(default_factory=dict)
    remarks: dict[tuple[str, str], None] = field(default_factory=dict)
    left_out: int = 0

    def told(self) -> Unmatched:
        return Unmatched(
            interfaces=tuple(self.interfaces),
            containers=tuple(self.containers),
            remarks=tuple(self.remarks),
            left_out=self.left_out,
        )


def outcome_of(unmatched: Unmatched) -> tuple[State, str, str] | None:
    """Answer state, reason and message of a program whose links all stand; None where nothing is to be said.

    What was named and is not there is waited for. That no pod has some labels is no fault of the node: it runs.
    """
    missing = (*unmatched.interfaces, *unmatched.containers)
    sentences = [*missing, *(words for _, words in unmatched.remarks)]
    if not sentences:
        return None
    more = f"; and {len(sentences) - MOST_SENTENCES} more" if len(sentences) > MOST_SENTENCES else ""
    message = f"{'; '.join(sentences[:MOST_SENTENCES])}{more}"
    reasons = {reason for reason, _ in unmatched.remarks}
    if missing:
        reason = "InterfaceMissing" if unmatched.interfaces else "ContainerMissing"
        return State.WAITING, reason, f"{message}; it is attached as soon as one appears"
    if unknown := reasons - RUNS_WITH:
        return State.WAITING, min(unknown), message
    reason = unmatched.remarks[0][0]
    return State.RUNNING, reason, f"{message}; it is attached as soon as one appears" if reason == NOTHING else message


def needs_interfaces(spec: KernelProgramSpec) -> bool:
    """Whether any link depends on the interfaces of this host."""
    return any(_selector(link) is not None for program in spec.programs for link in program.links)


def needs_containers(spec: KernelProgramSpec) -> bool:
    """Whether any link depends on the containers of this host."""
    return bool(selectors_of(spec))


def selectors_of(spec: KernelProgramSpec) -> tuple[ContainerSelector, ...]:
    """Every selector of containers."""
    found = (selector_of(link) for program in spec.programs for link in program.links)
    return tuple(selector for selector in found if selector is not None)


def resolve(
    spec: KernelProgramSpec, interfaces: Collection[Interface], scene: Scene | None = None
) -> tuple[tuple[LinkWant, ...], Unmatched]:
    """Answer the links that can stand now, and what selectors found nothing.

    Raises `InvalidSpec` for a pattern that is no regular expression, and for discovery in another namespace.
    """
    wants: dict[LinkWant, None] = {}
    missing = _Missing()
    for program in spec.programs:
        for asked in program.links:
            for link, process in _inside(asked, program.name, scene or Scene(), missing):
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
    return _bounded(wants, missing), missing.told()


def _bounded(wants: Collection[LinkWant], missing: _Missing) -> tuple[LinkWant, ...]:
    """All of them, or those of the oldest processes: who comes later never takes the place of one that stands."""
    inside = sorted((want for want in wants if want.process is not None), key=_age)
    if len(inside) <= MOST_LINKS:
        return tuple(wants)
    words = f"more than {MOST_LINKS} links go into containers, those of the latest are left out; select fewer pods"
    missing.left_out = len(inside) - MOST_LINKS
    missing.remarks = {(FULL, words): None, **missing.remarks}
    return (*(want for want in wants if want.process is None), *inside[:MOST_LINKS])


def _age(want: LinkWant) -> tuple[int, int]:
    return (want.process.started, want.process.pid) if want.process is not None else (0, 0)


def _selector(link: Link) -> InterfaceSelector | None:
    match link:
        case XdpLink() | TcLink() | TcxLink():
            return link.interfaces
        case _:
            return None


def _inside(
    link: Link, function: str, scene: Scene, missing: _Missing
) -> Iterator[tuple[Link, ContainerProcess | None]]:
    """The link as it is for each container that it selects; itself where it selects none."""
    selector = selector_of(link)
    if selector is None:
        yield link, None
        return
    chosen = choose(link, selector, scene, function)
    missing.containers.update(dict.fromkeys(chosen.absent))
    missing.remarks.update(dict.fromkeys(chosen.remarks))
    match link:
        case UprobeLink():
            for process in chosen.processes:
                yield replace(link, containers=None, container_pid=process.pid), process
        case XdpLink() | TcLink() | TcxLink():
            for process in _one_of_each_pod(chosen.processes):
                yield replace(link, containers=None, netns=f"/proc/{process.pid}/ns/net"), process
        case _:
            raise TypeError(f"{type(link).__name__} selects no containers")


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
