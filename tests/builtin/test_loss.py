"""Segments sent again are not bytes sent again."""

from __future__ import annotations

import socket
import struct
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from conductor.bpf import links
from conductor.bpf.objects import BpfObject
from conductor.model.kernel import Direction
from tests.builtin.conftest import Watch
from tests.builtin.lan import Host, Join, join, talk

pytestmark = pytest.mark.kernel

BYTES_RETRANS = 208
"""Offset of tcpi_bytes_retrans in struct tcp_info."""


def sent_again(end: socket.socket) -> int:
    info = end.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
    return int(struct.unpack_from("Q", info, BYTES_RETRANS)[0])


def shape(host: Host, *command: str) -> None:
    done = subprocess.run(["tc", "-n", host.namespace, *command], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"needs sch_netem in the kernel (CONFIG_NET_SCH_NETEM): {done.stderr.strip()}")


@pytest.fixture
def dropping(compiled: Callable[[str], Path], lan: tuple[Host, Host]) -> Iterator[None]:
    """Drop every 20th data segment that arrives at `right`, and at `left`."""
    with BpfObject.open(compiled("lossy")) as lossy:
        lossy.load()
        held = []
        for host in lan:
            ip = ["ip", "-n", host.namespace, "link", "set", "v"]
            subprocess.run([*ip, "gso_max_segs", "1"], check=True)
            with host.entered():
                held.append(links.tcx(lossy.program_fd("lossy"), socket.if_nametoindex("v"), Direction.INGRESS))
        yield
        for link in held:
            link.close()


def carry(watch: Watch, lan: tuple[Host, Host]) -> Join:
    left, right = lan
    with right.listen() as listener:
        link = join(left, listener, right.v4)
        talk(link, 1_500_000, 700_000)
        assert sent_again(link.client) > 0, "nothing was lost: the test shows nothing"
        row = {"client_name": "left", "server_name": "right", "server_port": str(link.port)}
        watch.expect(row | {"role": "client"}, sent=1_500_000, received=700_000)
        watch.expect(row | {"role": "server"}, sent=700_000, received=1_500_000)
        link.close()
        watch.expect(row | {"role": "client"}, sent=1_500_000, received=700_000, active=0)
        watch.expect(row | {"role": "server"}, sent=700_000, received=1_500_000, active=0)
    return link


@pytest.mark.usefixtures("dropping")
def test_dropped_segments(watch: Watch, lan: tuple[Host, Host]) -> None:
    carry(watch, lan)


def test_netem_loss(watch: Watch, lan: tuple[Host, Host]) -> None:
    for host in lan:
        shape(host, "qdisc", "add", "dev", "v", "root", "netem", "loss", "3%", "delay", "1ms", "reorder", "10%")
    carry(watch, lan)
