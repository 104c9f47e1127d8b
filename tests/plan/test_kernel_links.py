"""Selectors against interfaces."""

from __future__ import annotations

import pytest

from conductor.errors import InvalidSpec
from conductor.model.facts import Interface
from conductor.model.ids import Name
from conductor.model.kernel import (
    InterfaceSelector,
    KernelFunctionSpec,
    KernelProgramSpec,
    KernelType,
    PathObject,
    TracepointLink,
    XdpLink,
)
from conductor.plan.kernel_links import Unmatched, needs_interfaces, resolve

HERE = (
    Interface(index=1, name="lo", up=True),
    Interface(index=2, name="eth0", up=True, primary=True),
    Interface(index=3, name="veth7", up=False),
)


def spec(*links: XdpLink | TracepointLink) -> KernelProgramSpec:
    program = KernelFunctionSpec(name="f", type=KernelType.XDP, links=links)
    return KernelProgramSpec(name=Name("a"), bytecode=PathObject(path="/x.o"), programs=(program,))


def chosen(selector: InterfaceSelector) -> tuple[list[tuple[str, int]], Unmatched]:
    wants, unmatched = resolve(spec(XdpLink(interfaces=selector)), HERE)
    return [(want.interface, want.index) for want in wants], unmatched


def test_names_choose_those_that_are_there() -> None:
    missing = Unmatched(interfaces=("there is no interface eth9",))
    assert chosen(InterfaceSelector(names=("eth0", "eth9"))) == ([("eth0", 2)], missing)


def test_primary_is_the_one_with_the_default_route() -> None:
    assert chosen(InterfaceSelector(primary=True)) == ([("eth0", 2)], Unmatched())


@pytest.mark.parametrize(
    ("selector", "names"),
    [
        (InterfaceSelector(discover=True), ["eth0", "veth7"]),
        (InterfaceSelector(discover=True, exclude=()), ["lo", "eth0", "veth7"]),
        (InterfaceSelector(discover=True, exclude=("/^v/", "lo")), ["eth0"]),
        (InterfaceSelector(discover=True, allow=("/eth/",)), ["eth0", "veth7"]),
        (InterfaceSelector(discover=True, allow=("eth",)), []),
    ],
)
def test_discovery_excludes_then_allows(selector: InterfaceSelector, names: list[str]) -> None:
    found, unmatched = chosen(selector)
    assert [name for name, _ in found] == names
    assert bool(unmatched.interfaces) is not bool(names)


def test_pattern_that_is_none_is_refused() -> None:
    with pytest.raises(InvalidSpec, match="no regular expression"):
        chosen(InterfaceSelector(discover=True, allow=("/(/",)))


def test_one_interface_chosen_twice_is_one_link() -> None:
    assert chosen(InterfaceSelector(names=("eth0", "eth0")))[0] == [("eth0", 2)]


def test_names_in_another_namespace_are_taken_as_they_are() -> None:
    link = XdpLink(interfaces=InterfaceSelector(names=("eth5",)), netns="/run/netns/x")
    wants, unmatched = resolve(spec(link), HERE)
    assert [(want.interface, want.index) for want in wants] == [("eth5", 0)]
    assert unmatched == Unmatched()


def test_discovery_in_another_namespace_is_refused() -> None:
    with pytest.raises(InvalidSpec, match="must be named"):
        resolve(spec(XdpLink(interfaces=InterfaceSelector(discover=True), netns="/run/netns/x")), HERE)


def test_tracepoint_needs_no_interface() -> None:
    assert not needs_interfaces(spec(TracepointLink(name="a/b")))
    assert needs_interfaces(spec(XdpLink(interfaces=InterfaceSelector(primary=True))))
    (want,) = resolve(spec(TracepointLink(name="a/b")), ())[0]
    assert want.interface == ""
