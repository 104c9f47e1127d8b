"""Links without a network namespace of their own, where the agent's is not the one that they mean."""

from __future__ import annotations

from dataclasses import replace

from conductor.model.kernel import KernelProgramSpec, Link, TcLink, TcxLink, XdpLink

__all__ = ["at_home"]


def at_home(spec: KernelProgramSpec, netns: str | None) -> KernelProgramSpec:
    """The spec with `netns`, a path as the daemon sees it, where a link names none; None: the daemon's own."""
    if netns is None:
        return spec
    programs = (replace(one, links=tuple(_placed(link, netns) for link in one.links)) for one in spec.programs)
    return replace(spec, programs=tuple(programs))


def _placed(link: Link, netns: str) -> Link:
    match link:
        case XdpLink(netns=None, containers=None) | TcLink(netns=None, containers=None):
            return replace(link, netns=netns)
        case TcxLink(netns=None, containers=None):
            return replace(link, netns=netns)
        case _:
            return link
