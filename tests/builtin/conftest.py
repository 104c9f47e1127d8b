"""The kernel half of service_map on this kernel, hosts to talk over, and the program that reads it."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conductor.bpf import links
from conductor.bpf.maps import BpfMap
from conductor.bpf.objects import BpfObject
from conductor.builtin import object_path
from conductor.builtin.kit.declared import kernel_version
from conductor.builtin.service_map import PAIR, TRAFFIC, ServiceMap
from conductor.builtin.service_map import functions as functions_for
from conductor.model.kernel import TracepointLink
from conductor.ports import Program
from tests.builtin.lan import Host, make_lan
from tests.builtin.world import FakeState, World, eventually


@dataclass
class KernelHalf:
    """A loaded and attached kernel half."""

    maps: dict[str, BpfMap]

    def pairs(self, host: Host) -> dict[tuple[str, int], dict[str, int]]:
        """What was counted in a host's namespace: (role, server port) to numbers; addresses are left out."""
        entries = self.maps["pairs"].entries()
        found = {}
        for key, value in zip(np.frombuffer(entries.keys, PAIR), np.frombuffer(entries.values, TRAFFIC), strict=True):
            if key["netns"] == host.netns:
                sent, received, opened = value["counted"].tolist()
                role = {1: "client", 2: "server"}[int(key["role"])]
                numbers = {"sent": sent, "received": received, "opened": opened, "active": int(value["active"])}
                found[role, int(key["port"])] = numbers
        return found


@contextmanager
def attached(
    *, path: Path | None = None, without: tuple[str, ...] = (), kernel: tuple[int, int] | None = None, **sizes: int
) -> Iterator[KernelHalf]:
    """Load and attach what the agent would, less some functions, or on another kernel; maps of other sizes."""
    functions = [f for f in functions_for(kernel or kernel_version(platform.release())) if f.name not in without]
    with ExitStack() as stack:
        kernel_object = stack.enter_context(BpfObject.open(path or object_path("service_map")))
        kernel_object.select([function.name for function in functions])
        for name, size in sizes.items():
            kernel_object.resize_map(name, size)
        kernel_object.load()
        for function in functions:
            for link in function.links:
                assert isinstance(link, TracepointLink)
                stack.enter_context(links.tracepoint(kernel_object.program_fd(function.name), link.name))
        maps = {
            name: stack.enter_context(BpfMap.from_fd(os.dup(kernel_object.map_fd(name))))
            for name in ("pairs", "losses", "sockets")
        }
        yield KernelHalf(maps)


@pytest.fixture
def attach() -> Callable[..., Any]:
    """Attach a kernel half of the test's own, `with attach(pairs=4) as kernel_half`."""
    return attached


@pytest.fixture(scope="session")
def kernel_half() -> Iterator[KernelHalf]:
    """One kernel half for all tests that need no other; it is attached before their sockets are made."""
    with attached() as half:
        yield half


@pytest.fixture
def lan(netns: Callable[[], str]) -> tuple[Host, Host]:
    """Two hosts: the first is called `left`, the second `right`."""
    return make_lan(netns)


@dataclass
class Watch:
    """A running service_map with a page of its own."""

    world: World
    program: Program

    def seen(self, **labels: str) -> dict[str, float]:
        """Tick and read: what the page says, summed over the series with these labels."""
        self.program.tick()
        words = {"sent": "sent_bytes_total", "received": "received_bytes_total"}
        words |= {"opened": "connections_opened_total", "active": "connections_active"}
        return {word: sum(self.world.values(f"service_map_{name}", **labels)) for word, name in words.items()}

    def expect(self, labels: dict[str, str], **numbers: float) -> None:
        """Wait until the page says so."""
        eventually(lambda: {k: v for k, v in self.seen(**labels).items() if k in numbers}, numbers)


@pytest.fixture
def watch(tmp_path: Path, kernel_half: KernelHalf, lan: tuple[Host, Host]) -> Iterator[Watch]:
    """service_map over the shared kernel half; the hosts of `lan` have names, nobody else has."""
    world = World(state=FakeState(tmp_path / "state"), maps=kernel_half.maps)
    for host, name in zip(lan, ("left", "right"), strict=True):
        world.lookup.name(host.v4, name)
        world.lookup.name(host.v6, name)
    program = world.open(ServiceMap)
    yield Watch(world, program)
    program.close()


def rows(port: int) -> tuple[dict[str, str], dict[str, str]]:
    """Labels of a connection from left to right: the client's row and the server's."""
    ends = {"client_name": "left", "client_kind": "Host", "server_name": "right", "server_kind": "Host"}
    return {"role": "client", "server_port": str(port), **ends}, {"role": "server", "server_port": str(port), **ends}
