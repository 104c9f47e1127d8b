"""Which links a kernel program is to have now: selectors resolved against the interfaces that there are."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

from conductor.errors import InvalidSpec, NotYet
from conductor.model.facts import Interface
from conductor.model.kernel import InterfaceSelector, KernelProgramSpec, Link, TcLink, TcxLink, XdpLink
from conductor.plan.kernel_sets import LinkWant

__all__ = ["needs_interfaces", "resolve"]


def needs_interfaces(spec: KernelProgramSpec) -> bool:
    """Whether any link depends on the interfaces of this host."""
    return any(_selector(link) is not None for program in spec.programs for link in program.links)


def resolve(spec: KernelProgramSpec, interfaces: Collection[Interface]) -> tuple[tuple[LinkWant, ...], tuple[str, ...]]:
    """Answer the links that can stand now, and a few words for each selector that finds nothing.

    Raises `InvalidSpec` for a pattern that is no regular expression, `NotYet` for discovery in another namespace.
    """
    wants: dict[LinkWant, None] = {}
    unmatched: list[str] = []
    for program in spec.programs:
        for link in program.links:
            for interface, index in _places(link, interfaces, unmatched):
                want = LinkWant(function=program.name, type=program.type, link=link, interface=interface, index=index)
                wants[want] = None
    return tuple(wants), tuple(dict.fromkeys(unmatched))


def _selector(link: Link) -> InterfaceSelector | None:
    match link:
        case XdpLink() | TcLink() | TcxLink():
            return link.interfaces
        case _:
            return None


def _places(link: Link, interfaces: Collection[Interface], unmatched: list[str]) -> Iterator[tuple[str, int]]:
    """Interface names and indices of one link; one without a name for a link that needs no interface."""
    selector = _selector(link)
    if selector is None:
        yield "", 0
    elif getattr(link, "netns", None) is not None:
        # Another namespace's interfaces are seen by the daemon alone, so they can only be named.
        if not selector.names:
            raise NotYet("interfaces in another network namespace must be named; finding them comes later")
        yield from ((name, 0) for name in selector.names)
    else:
        yield from _chosen(selector, interfaces, unmatched)


def _chosen(
    selector: InterfaceSelector, interfaces: Collection[Interface], unmatched: list[str]
) -> Iterator[tuple[str, int]]:
    here = {interface.name: interface for interface in interfaces}
    if selector.names:
        chosen = [here[name] for name in selector.names if name in here]
        unmatched += [f"there is no interface {name}" for name in selector.names if name not in here]
    else:
        chosen = [i for i in here.values() if (i.primary if selector.primary else _is_discovered(selector, i.name))]
        if not chosen:
            unmatched.append("no interface has the default route" if selector.primary else "no interface is allowed")
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
