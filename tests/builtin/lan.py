"""Two hosts of a test's own: network namespaces joined by a veth pair with addresses that no other test has."""

from __future__ import annotations

import ctypes
import ipaddress
import itertools
import os
import secrets
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Host", "Join", "drain", "join", "packed", "talk"]

CLONE_NEWNET = 0x40000000
TIMEOUT = 10.0
NETWORKS = 1 << 22
"""Networks of four addresses in 10.0.0.0/8."""
_numbers = itertools.count(secrets.randbelow(NETWORKS))  # by chance: process numbers repeat in PID namespaces
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Host:
    """One network namespace."""

    namespace: str
    v4: str
    v6: str

    @property
    def netns(self) -> int:
        """Inode number: the namespace's part of the kernel's keys."""
        return Path(f"/run/netns/{self.namespace}").stat().st_ino

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Make this thread's new sockets belong to the host."""
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        there = os.open(f"/run/netns/{self.namespace}", os.O_RDONLY)
        try:
            assert _libc.setns(there, CLONE_NEWNET) == 0
            yield
        finally:
            assert _libc.setns(home, CLONE_NEWNET) == 0
            os.close(home)
            os.close(there)

    def endpoint(self, family: int = socket.AF_INET) -> socket.socket:
        """Make a socket on this host."""
        with self.entered():
            made = socket.socket(family)
        made.settimeout(TIMEOUT)
        return made

    def listen(self, address: str = "", *, backlog: int = 16, port: int = 0) -> socket.socket:
        """Listen on an address; `::` takes IPv4 too, as v4-mapped."""
        address = address or self.v4
        listener = self.endpoint(socket.AF_INET6 if ":" in address else socket.AF_INET)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if address == "::":
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listener.bind((address, port))
        listener.listen(backlog)
        return listener


@dataclass
class Join:
    """A connection with both its ends."""

    client: socket.socket
    server: socket.socket
    port: int

    def close(self) -> None:
        """End it in an orderly way, the client first."""
        self.client.close()
        drain(self.server)
        self.server.close()


def join(client: Host, listener: socket.socket, address: str) -> Join:
    """Connect to a listener at one of its addresses."""
    port = listener.getsockname()[1]
    mine = client.endpoint(socket.AF_INET6 if ":" in address else socket.AF_INET)
    mine.connect((address, port))
    theirs, _ = listener.accept()
    theirs.settimeout(TIMEOUT)
    return Join(mine, theirs, port)


def drain(end: socket.socket, size: int | None = None) -> int:
    """Receive `size` bytes, or everything up to the end; answers how many came."""
    got = 0
    while size is None or got < size:
        part = end.recv(min(65536, size - got) if size is not None else 65536)
        if not part:
            break
        got += len(part)
    return got


def talk(link: Join, up: int, down: int) -> None:
    """Send `up` bytes to the server and `down` bytes back, all of them received."""
    for sender, receiver, size in ((link.client, link.server, up), (link.server, link.client, down)):
        if not size:
            continue
        writer = threading.Thread(target=sender.sendall, args=(b"x" * size,))
        writer.start()
        assert drain(receiver, size) == size
        writer.join()


def packed(address: str) -> bytes:
    """16 bytes of an address, IPv4 as v4-mapped."""
    ip = ipaddress.ip_address(address)
    return ip.packed if ip.version == 6 else ipaddress.IPv6Address(f"::ffff:{ip}").packed


def make_lan(netns: Callable[[], str]) -> tuple[Host, Host]:
    """Join two new namespaces with addresses that no other has: programs under test see the whole machine."""
    number = next(_numbers) % NETWORKS
    v4 = ipaddress.IPv4Address("10.0.0.0") + number * 4
    left, right = (Host(netns(), str(v4 + n), f"fd00::{number >> 16:x}:{number & 0xFFFF:x}:{n}") for n in (1, 2))
    ip = ["ip", "-n", left.namespace]
    subprocess.run([*ip, "link", "add", "v", "type", "veth", "peer", "v", "netns", right.namespace], check=True)
    for host in (left, right):
        ip = ["ip", "-n", host.namespace]
        subprocess.run([*ip, "addr", "add", f"{host.v4}/30", "dev", "v"], check=True)
        subprocess.run([*ip, "addr", "add", f"{host.v6}/112", "dev", "v", "nodad"], check=True)
        subprocess.run([*ip, "link", "set", "v", "up"], check=True)
    return left, right
