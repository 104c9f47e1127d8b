"""Events that the kernel skipped (tracepoint programs of one CPU never nest): what is caught up later."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.builtin.lan import Host, join, talk
from tests.builtin.world import eventually

pytestmark = pytest.mark.kernel

Lan = tuple[Host, Host]
Attach = Callable[..., Any]


def converse(lan: Lan, times: int) -> int:
    """Have short connections, one after the other; answers the port."""
    left, right = lan
    with right.listen() as listener:
        for _ in range(times):
            link = join(left, listener, right.v4)
            talk(link, 1000, 1000)
            link.close()
        return link.port


def test_an_end_that_was_missed_is_seen_when_the_socket_goes(attach: Attach, lan: Lan) -> None:
    left, right = lan
    with attach(without=("sock_state",)) as half, right.listen(backlog=64) as listener:
        links = [join(left, listener, right.v4) for _ in range(40)]
        for link in links:
            talk(link, 1000, 1000)
        port = links[0].port
        assert half.pairs(left)["client", port]["active"] == 40
        for link in links:
            link.close()
        eventually(lambda: half.pairs(left)["client", port]["active"], 0, within=1)
        eventually(lambda: half.pairs(right)["server", port]["active"], 0, within=1)


def test_memory_that_carries_another_connection_is_told_apart(attach: Attach, lan: Lan) -> None:
    with attach(without=("sock_state", "sock_gone")) as half:
        port = converse(lan, 60)
        pair = half.pairs(lan[1])["server", port]
        assert 0 < pair["active"] < 60, "each end was missed, but not each reuse of the memory"
        assert pair["received"] == 60_000


def test_an_opening_that_was_missed_is_an_older_connection(attach: Attach, lan: Lan) -> None:
    with attach(without=("sock_state",)) as half:
        port = converse(lan, 20)
        client, server = half.pairs(lan[0])["client", port], half.pairs(lan[1])["server", port]
        assert client["opened"] == server["opened"] == 0
        assert client["sent"] == server["received"] == 20_000
