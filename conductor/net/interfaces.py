"""Interfaces of a network namespace, and word of their changes."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections import defaultdict
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from pyroute2.iproute import AsyncIPRoute  # not by the package: it imports everything (`frugal`)
from pyroute2.netlink.exceptions import NetlinkError

from conductor.errors import KernelRefused
from conductor.model.facts import Interface

__all__ = ["Interfaces"]

_UP = 0x1
_MAIN_TABLE = 254
_GROUPS = 0x1 | 0x10 | 0x100 | 0x40 | 0x400
"""RTMGRP_LINK, IPV4_IFADDR, IPV6_IFADDR, IPV4_ROUTE, IPV6_ROUTE."""
_SETTLE = 0.05
"""Seconds for which changes are gathered into one word: a single `ip` command makes several messages."""


class Interfaces:
    """Interfaces of this process's network namespace; implements `ports.InterfaceSource`."""

    async def interfaces(self) -> tuple[Interface, ...]:
        """Read links, addresses and default routes, ordered by index. Raises `KernelRefused`."""
        try:
            async with asyncio.timeout(10), AsyncIPRoute() as netlink:
                links = [link async for link in await netlink.link("dump")]
                addresses = [address async for address in await netlink.addr("dump")]
                routes = [route async for route in await netlink.route("dump")]
        except (OSError, TimeoutError, NetlinkError) as error:
            raise KernelRefused(f"interfaces cannot be read by netlink: {error}") from error
        return _assembled(links, addresses, _primary(routes))

    async def changes(self) -> AsyncGenerator[None, None]:
        """Tell that links, addresses or routes changed; runs for ever.

        Changes that come together, or while the last one is being dealt with, are told once. Messages that the
        kernel dropped (ENOBUFS) are a change like any other: nothing is read from messages but that they came.
        """
        changed = asyncio.Event()
        with _subscribed(changed):
            while True:
                await changed.wait()
                await asyncio.sleep(_SETTLE)
                changed.clear()
                yield


def _assembled(links: list[Any], addresses: list[Any], primary: int | None) -> tuple[Interface, ...]:
    texts: Mapping[int, list[str]] = defaultdict(list)
    for address in addresses:
        # A point-to-point interface's own end is `local`; `address` is then the peer's.
        text = address.get("local") or address.get("address")
        if text:
            texts[address["index"]].append(text)
    found = (
        Interface(
            index=link["index"],
            name=link.get("ifname"),
            up=bool(link["flags"] & _UP),
            primary=link["index"] == primary,
            addresses=tuple(texts.get(link["index"], ())),
        )
        for link in links
    )
    return tuple(sorted(found, key=lambda interface: interface.index))


def _primary(routes: list[Any]) -> int | None:
    """Interface of the default route, IPv4 before IPv6, lowest metric first."""
    defaults = [
        (route["family"], route.get("priority") or 0, oif)
        for route in routes
        if route["dst_len"] == 0 and route.get("table") == _MAIN_TABLE and (oif := _outgoing(route))
    ]
    return min(defaults)[2] if defaults else None


def _outgoing(route: Any) -> int | None:
    if route.get("oif"):
        return int(route.get("oif"))
    hops = route.get("multipath") or ()
    return next((int(hop["oif"]) for hop in hops if hop["oif"]), None)


@contextmanager
def _subscribed(changed: asyncio.Event) -> Iterator[None]:
    """Set `changed` whenever the kernel has word for us."""
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE) as netlink:
        netlink.bind((0, _GROUPS))

        def drain() -> None:
            changed.set()
            try:
                while netlink.recv(65536):
                    pass
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise

        loop.add_reader(netlink, drain)
        try:
            yield
        finally:
            loop.remove_reader(netlink)
