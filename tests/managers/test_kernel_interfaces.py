"""Links that follow interfaces."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

from conductor.managers.kernel_half import KernelHalf
from conductor.model.kernel import InterfaceSelector
from conductor.model.status import State
from tests.managers.kernel_world import ETH0, LO, World, message, net, state, tell, wishes


def test_interfaces_that_come_back_are_attached_anew(tmp_path: Path) -> None:
    async def story(world: World, half: KernelHalf) -> None:
        await half.converge(wishes(net("a", InterfaceSelector(names=("eth0",)))))
        assert world.attached() == {("a", "eth0")}
        world.kernel.links.clear()
        world.interfaces.change(LO)
        await asyncio.sleep(1)
        assert state(half) == (State.WAITING, "InterfaceMissing")
        assert "there is no interface eth0" in message(half)
        world.interfaces.change(LO, replace(ETH0, index=7))
        await asyncio.sleep(1)
        assert state(half) == (State.RUNNING, "")
        assert world.attached() == {("a", "eth0")}

    tell(tmp_path, story)


def test_interface_recreated_at_once_is_attached_anew(tmp_path: Path) -> None:
    async def story(world: World, half: KernelHalf) -> None:
        await half.converge(wishes(net("a", InterfaceSelector(discover=True))))
        (before,) = world.kernel.links
        world.interfaces.change(LO, replace(ETH0, index=7))
        world.kernel.links.clear()
        await asyncio.sleep(1)
        (after,) = world.kernel.links
        assert after != before

    tell(tmp_path, story)


def test_priority_change_moves_the_link(tmp_path: Path) -> None:
    async def story(world: World, half: KernelHalf) -> None:
        selector = InterfaceSelector(primary=True)
        await half.converge(wishes(net("a", selector, priority=10)))
        await half.converge(wishes(net("a", selector, priority=20)))
        (link,) = world.kernel.links.values()
        assert getattr(link.link, "priority", None) == 20
        assert len(world.kernel.programs) == 1

    tell(tmp_path, story)
