"""XDP, TC and TCX on a veth pair in a network namespace of the test."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from grpclib.const import Status
from grpclib.exceptions import GRPCError

from conductor.bpf import pins
from conductor.bpf.link_net import tcx_chain
from conductor.model.kernel import Direction
from conductor.net.netns import inside, interface_index
from conductor.proto.bpfman import v1 as pb
from tests.loader.running import Client, Daemon

pytestmark = pytest.mark.kernel
Compiled = Callable[[str], Path]
XDP, TC, TCX = ("on_xdp", 0), ("on_tc", 1), ("on_tcx", 7)


class Net:
    """A namespace `left` whose interface `v` leads to `right`."""

    def __init__(self, left: str, right: str) -> None:
        self.left, self.right = left, right
        self.path = f"/run/netns/{left}"

    def talk(self) -> None:
        """Send packets both ways through `v`."""
        for name, other in ((self.left, "10.77.0.2"), (self.right, "10.77.0.1")):
            script = f"import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('{other}', 9))"
            subprocess.run(["ip", "netns", "exec", name, "python3", "-c", script], check=True)

    def link(self, *words: str) -> str:
        done = subprocess.run(["ip", "-n", self.left, "link", *words], check=True, capture_output=True, text=True)
        return done.stdout

    def chain(self, direction: Direction) -> list[int]:
        """Ids of programs in the order they run."""
        chain = inside(self.path, lambda: tcx_chain(interface_index("v"), direction))
        return [program for program, _ in chain.programs]


@pytest.fixture
def net(veth: Callable[[], tuple[str, str]]) -> Net:
    return Net(*veth())


async def load(client: Client, compiled: Compiled, program: tuple[str, int]) -> int:
    (loaded,) = await client.load(compiled("hooks"), program)
    return loaded.kernel_info.id


async def tcx(client: Client, id_: int, net: Net, direction: str = "ingress", **fields: Any) -> int:
    info = pb.TcxAttachInfo(iface="v", direction=direction, netns=net.path, **fields)
    return await client.attach(id_, tcx_attach_info=info)


@pytest.mark.parametrize("direction", ["ingress", "egress"])
def test_tcx_sees_packets(empty: Daemon, compiled: Compiled, net: Net, direction: str) -> None:
    async def life(client: Client) -> None:
        id_ = await load(client, compiled, TCX)
        link = await tcx(client, id_, net, direction)
        net.talk()
        assert await client.runs(id_) > 0
        await client.bpfman.detach(pb.DetachRequest(link_id=link))
        assert net.chain(Direction(direction)) == []

    empty.ask(life)


def test_lower_priorities_run_first_and_equals_by_age(empty: Daemon, compiled: Compiled, net: Net) -> None:
    async def life(client: Client) -> None:
        ids = {}
        for name, priority in (("b", 50), ("d", 100), ("c", 50), ("a", 0), ("e", 100)):
            ids[name] = await load(client, compiled, TCX)
            await tcx(client, ids[name], net, priority=priority)
        assert net.chain(Direction.INGRESS) == [ids[name] for name in "abcde"]
        assert net.chain(Direction.EGRESS) == []

    empty.ask(life)


def test_one_program_attaches_once_per_side_by_whatever_path(empty: Daemon, compiled: Compiled, net: Net) -> None:
    async def life(client: Client) -> None:
        id_ = await load(client, compiled, TCX)
        links = [await tcx(client, id_, net, "ingress"), await tcx(client, id_, net, "egress")]
        other = Net(net.left, net.right)
        other.path = f"/var/run/netns/../netns/{net.left}"
        with pytest.raises(GRPCError, match=f"as link {links[0]}") as caught:
            await tcx(client, id_, other, "ingress", priority=7)
        assert caught.value.status is Status.ALREADY_EXISTS
        assert (await client.info(id_)).links == links

    empty.ask(life)


def test_links_survive_a_crash_and_keep_their_order(daemon: Daemon, compiled: Compiled, net: Net) -> None:
    async def first(client: Client) -> list[int]:
        ids = [await load(client, compiled, TCX) for _ in range(2)]
        await tcx(client, ids[1], net, priority=20)
        await tcx(client, ids[0], net, priority=10)
        return ids

    async def then(client: Client) -> int:
        id_ = await load(client, compiled, TCX)
        await tcx(client, id_, net, priority=15)
        return id_

    ids = daemon.ask(first)
    daemon.restart()
    net.talk()
    assert all(daemon.ask(lambda client, id_=id_: client.runs(id_)) > 0 for id_ in ids)  # type: ignore[misc]
    between = daemon.ask(then)
    assert net.chain(Direction.INGRESS) == [ids[0], between, ids[1]]


def test_a_link_ends_with_its_interface_and_can_be_made_again(empty: Daemon, compiled: Compiled, net: Net) -> None:
    async def life(client: Client) -> None:
        id_ = await load(client, compiled, TCX)
        await tcx(client, id_, net)
        net.link("del", "v")
        assert (await client.info(id_)).links == []
        net.link("add", "v", "type", "veth", "peer", "w")
        link = await tcx(client, id_, net)
        assert (await client.info(id_)).links == [link]
        assert [pin for pin in empty.pins() if pin.startswith("links/")] == [f"links/{link}"]

    empty.ask(life)


def test_tc_goes_through_tcx_and_other_actions_are_refused(empty: Daemon, compiled: Compiled, net: Net) -> None:
    async def life(client: Client) -> None:
        id_ = await load(client, compiled, TC)
        fields: dict[str, Any] = {"iface": "v", "direction": "ingress", "netns": net.path}
        with pytest.raises(GRPCError, match=r"proceed_on.*return code") as caught:
            await client.attach(id_, tc_attach_info=pb.TcAttachInfo(proceed_on=[0], **fields))
        assert caught.value.status is Status.INVALID_ARGUMENT
        with pytest.raises(GRPCError, match="by tc, not tcx") as caught:
            await tcx(client, id_, net)
        assert caught.value.status is Status.FAILED_PRECONDITION
        await client.attach(id_, tc_attach_info=pb.TcAttachInfo(proceed_on=[3, 30], **fields))
        net.talk()
        assert await client.runs(id_) > 0

    empty.ask(life)


@pytest.mark.parametrize("interface", ["v", "lo"])
def test_xdp_attaches_by_the_driver_or_the_generic_path(
    empty: Daemon, compiled: Compiled, net: Net, interface: str
) -> None:
    async def life(client: Client) -> None:
        first, second = [await load(client, compiled, XDP) for _ in range(2)]
        info = pb.XdpAttachInfo(iface=interface, netns=net.path, priority=50, proceed_on=[2, 31])
        link = await client.attach(first, xdp_attach_info=info)
        shown = net.link("show", interface)
        assert ("xdpgeneric" in shown) == (interface == "lo")
        assert f"prog/xdp id {first}" in shown
        with pytest.raises(GRPCError, match="another XDP program") as caught:
            await client.attach(second, xdp_attach_info=info)
        assert caught.value.status is Status.FAILED_PRECONDITION
        await client.bpfman.detach(pb.DetachRequest(link_id=link))
        await client.attach(second, xdp_attach_info=info)

    empty.ask(life)


def test_a_link_cut_from_outside_is_made_again_at_once(empty: Daemon, compiled: Compiled, net: Net) -> None:
    """The kernel ends a link up to 150 ms after its pin went; a second holder makes it surely so late."""

    async def life(client: Client) -> None:
        id_ = await load(client, compiled, XDP)
        info = pb.XdpAttachInfo(iface="lo", netns=net.path)
        pin = empty.bpffs / f"links/{await client.attach(id_, xdp_attach_info=info)}"
        with pins.open_link(pin) as held:
            pin.unlink()
            asyncio.get_running_loop().call_later(0.15, held.close)
            again = await client.attach(id_, xdp_attach_info=info)
        assert (await client.info(id_)).links == [again]

    empty.ask(life)


def test_an_unknown_xdp_action_is_refused(empty: Daemon, compiled: Compiled) -> None:
    async def life(client: Client) -> None:
        id_ = await load(client, compiled, XDP)
        with pytest.raises(GRPCError, match="5 is no action"):
            await client.attach(id_, xdp_attach_info=pb.XdpAttachInfo(iface="lo", proceed_on=[5]))

    empty.ask(life)
