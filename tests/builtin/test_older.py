"""Connections that were there before the kernel half was attached."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.builtin.conftest import KernelHalf
from tests.builtin.lan import Host, Join, join, talk
from tests.builtin.world import eventually

pytestmark = pytest.mark.kernel

Lan = tuple[Host, Host]
Attach = Callable[..., Any]


def is_counted(half: KernelHalf, lan: Lan, port: int, *, up: int, down: int) -> None:
    left, right = lan
    client = {"sent": up, "received": down, "opened": 0, "active": 1}
    server = {"sent": down, "received": up, "opened": 0, "active": 1}
    eventually(lambda: half.pairs(left).get(("client", port)), client)
    eventually(lambda: half.pairs(right).get(("server", port)), server)


def older(lan: Lan, *, backlog: int = 16) -> Join:
    """A connection that has carried something both ways, all of it taken."""
    left, right = lan
    with right.listen(backlog=backlog) as listener:
        link = join(left, listener, right.v4)
    talk(link, 100_000, 50_000)
    return link


@pytest.mark.parametrize(("up", "down"), [(30_000, 20_000), (1, 1), (2_000_000, 0), (0, 60_000)])
def test_what_it_carried_before_is_not_counted(attach: Attach, lan: Lan, up: int, down: int) -> None:
    link = older(lan)
    with attach() as half:
        talk(link, up, down)
        is_counted(half, lan, link.port, up=up, down=down)
        link.close()
        eventually(lambda: half.pairs(lan[0])["client", link.port]["active"], 0)
        eventually(lambda: half.pairs(lan[1])["server", link.port]["active"], 0)


def test_the_role_is_known_without_a_backlog(attach: Attach, lan: Lan) -> None:
    link = older(lan, backlog=0)
    with attach() as half:
        talk(link, 1000, 2000)
        is_counted(half, lan, link.port, up=1000, down=2000)
        assert len(half.pairs(lan[0])) == len(half.pairs(lan[1])) == 1
        link.close()


def test_one_that_only_ends_is_not_counted_at_all(attach: Attach, lan: Lan) -> None:
    link = older(lan)
    with attach() as half:
        link.close()
        eventually(lambda: half.pairs(lan[0]), {})
        assert not any(any(numbers.values()) for numbers in half.pairs(lan[1]).values())


def test_detached_and_attached_again_in_mid_connection(attach: Attach, lan: Lan) -> None:
    link = older(lan)
    for size in (1000, 2000):
        with attach() as half:
            talk(link, size, size)
            is_counted(half, lan, link.port, up=size, down=size)
        talk(link, 77_777, 77_777)
    link.close()
