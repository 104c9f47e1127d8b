from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from conductor.model.facts import Interface
from conductor.net.interfaces import Interfaces
from conductor.net.netns import inside

pytestmark = pytest.mark.kernel


def in_netns(netns: Path, work: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    return inside(str(netns), lambda: asyncio.run(work()), timeout=20)


def ip(netns: Path, *words: str) -> None:
    subprocess.run(["ip", "-n", netns.name, *words], check=True)


async def word(changes: AsyncIterator[None]) -> None:
    await anext(changes)


async def spoken(told: asyncio.Task[None]) -> bool:
    await asyncio.sleep(0.1)
    return told.done()


@asynccontextmanager
async def told_of(change: Callable[[], None]) -> AsyncIterator[AsyncIterator[None]]:
    """Make a change and wait for the word of it, once the kernel has said all of a network that was just made."""
    async with asyncio.timeout(20), aclosing(Interfaces().changes()) as changes:
        async with asyncio.TaskGroup() as group:
            told = group.create_task(word(changes))
            while await spoken(told):
                told = group.create_task(word(changes))
            change()
        yield changes


def read(netns: Path) -> dict[str, Interface]:
    return {found.name: found for found in in_netns(netns, Interfaces().interfaces)}


def test_names_states_and_addresses(netns: Path) -> None:
    ip(netns, "addr", "add", "10.9.8.7/24", "dev", "in0")
    ip(netns, "addr", "add", "fd00:9::7/64", "dev", "in0", "nodad")
    ip(netns, "link", "set", "in1", "down")
    found = read(netns)
    assert {"lo", "in0", "in1"} <= set(found)
    assert {"10.9.8.7", "fd00:9::7"} <= set(found["in0"].addresses)
    assert (found["in0"].up, found["in1"].up) == (True, False)
    assert "127.0.0.1" in found["lo"].addresses


def test_the_own_end_of_a_point_to_point_address_is_told(netns: Path) -> None:
    ip(netns, "addr", "add", "10.9.0.1", "peer", "10.9.0.2", "dev", "in0")
    assert "10.9.0.1" in read(netns)["in0"].addresses


def test_the_default_route_makes_an_interface_primary(netns: Path) -> None:
    assert not any(found.primary for found in read(netns).values())
    ip(netns, "addr", "add", "10.9.8.7/24", "dev", "in0")
    ip(netns, "route", "add", "default", "via", "10.9.8.1", "dev", "in0", "metric", "50")
    ip(netns, "route", "add", "default", "dev", "in1", "metric", "100")
    assert [found.name for found in read(netns).values() if found.primary] == ["in0"]


def test_a_multipath_default_route_counts(netns: Path) -> None:
    ip(netns, "route", "add", "default", "nexthop", "dev", "in1", "weight", "1", "nexthop", "dev", "in0", "weight", "1")
    assert [found.name for found in read(netns).values() if found.primary] == ["in1"]


@pytest.mark.parametrize(
    "change",
    [
        ("link", "set", "in0", "down"),
        ("addr", "add", "10.1.1.1/24", "dev", "in0"),
        ("addr", "add", "fd00:8::7/64", "dev", "in0"),
        ("link", "add", "other0", "type", "veth", "peer", "name", "other1"),
    ],
)
def test_a_change_is_told(netns: Path, change: tuple[str, ...]) -> None:
    async def work() -> None:
        async with told_of(lambda: ip(netns, *change)):
            pass

    in_netns(netns, work)


def test_a_flood_that_the_kernel_drops_is_still_one_word(netns: Path) -> None:
    """Far more messages than the socket holds while nobody reads: the source survives ENOBUFS and says so once."""

    batch = "\n".join(f"addr {verb} 10.{n}.0.1/32 dev lo" for n in range(200) for verb in ("add", "del"))

    def flood() -> None:
        subprocess.run(["ip", "-n", netns.name, "-batch", "-"], input=batch, text=True, check=True)
        assert any(int(line.split()[8]) for line in Path("/proc/thread-self/net/netlink").read_text().splitlines()[1:])

    async def work() -> None:
        async with told_of(flood) as changes, asyncio.TaskGroup() as group:
            again = group.create_task(word(changes))
            await asyncio.sleep(0.2)
            assert not again.done()
            ip(netns, "link", "set", "in0", "down")

    in_netns(netns, work)
