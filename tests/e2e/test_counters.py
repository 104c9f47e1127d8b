"""A thousand connections open and close while someone scrapes: no counter goes down, whatever happens to the agent."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.builtin.lan import Host, Join, join, make_lan, talk
from tests.conftest import namespaces
from tests.e2e.node import told

if TYPE_CHECKING:
    import socket

    from tests.e2e.node import Node, Series

pytestmark = [pytest.mark.kernel, pytest.mark.slow, pytest.mark.faults, pytest.mark.timeout(600)]
CONNECTIONS, WORKERS = 1000, 8
TIMES = max(1, int(os.environ.get("CONDUCTOR_FAULT_ROUNDS", "5")) // 10)
SENT, RECEIVED = "service_map_sent_bytes_total", "service_map_received_bytes_total"
OPENED, ACTIVE = "service_map_connections_opened_total", "service_map_connections_active"
COUNTERS = (SENT, RECEIVED, OPENED)
KEEP = ("--config", "loopback=true", "--config", "external=ip")


@dataclass
class Scraper:
    """Read the page again and again; remember the highest value of each counter, and each fall."""

    node: Node
    highest: Series = field(default_factory=dict)
    falls: list[str] = field(default_factory=list)
    scrapes: int = 0
    refused: int = 0

    def scrape(self) -> None:
        try:
            series = self.node.series("?program=service_map")
        except OSError:
            self.refused += 1  # the agent is dead at this moment
            return
        self.scrapes += 1
        for key, value in series.items():
            if key[0] in COUNTERS or key[0].startswith("service_map_lost_"):
                if value < self.highest.get(key, 0):
                    self.falls.append(f"scrape {self.scrapes}: {key}: {self.highest[key]:.0f} -> {value:.0f}")
                self.highest[key] = max(value, self.highest.get(key, 0))

    @contextmanager
    def running(self) -> Iterator[None]:
        over = threading.Event()

        def loop() -> None:
            while not over.wait(0.02):
                self.scrape()

        thread = threading.Thread(target=loop)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()


@dataclass
class Route:
    """One listener and where its clients come from; counts what was sent over it."""

    client: Host
    listener: socket.socket
    address: str
    opened: int = 0
    up: int = 0
    down: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def port(self) -> str:
        return str(self.listener.getsockname()[1])

    def converse(self, chance: random.Random) -> None:
        """One connection: something both ways, a pause, something more."""
        with self.lock:  # accept must answer the connection that was just made
            link: Join = join(self.client, self.listener, self.address)
        up, down = chance.randrange(20_000), chance.randrange(20_000)
        for _ in range(2):
            talk(link, up, down)
            time.sleep(chance.uniform(0, 0.1))
        link.close()
        with self.lock:
            self.opened, self.up, self.down = self.opened + 1, self.up + 2 * up, self.down + 2 * down

    def is_exact(self, node: Node) -> bool:
        """Whether both ends tell every byte and connection, and that none is open."""
        series, port = node.series("?program=service_map"), self.port
        client, server = (
            [told(series, name, server_port=port, role=role) for name in (SENT, RECEIVED, OPENED, ACTIVE)]
            for role in ("client", "server")
        )
        assert client == [self.up, self.down, self.opened, 0], f"{client} of {self}"
        assert server == [self.down, self.up, self.opened, 0], f"{server} of {self}"
        return True


@contextmanager
def traffic(routes: Sequence[Route], seed: int) -> Iterator[None]:
    """Connections without pause while the scope lasts, at least CONNECTIONS of them."""
    over, numbers = threading.Event(), iter(range(1 << 30))

    def work(_: int) -> None:
        while (number := next(numbers)) < CONNECTIONS or not over.is_set():
            routes[number % len(routes)].converse(random.Random(seed + number))

    with ThreadPoolExecutor(WORKERS) as workers:
        done = workers.map(work, range(WORKERS))
        try:
            yield
        finally:
            over.set()
        list(done)


def test_no_series_ever_goes_down(node: Node) -> None:
    seed = int(os.environ.get("CONDUCTOR_FAULT_SEED", random.SystemRandom().randrange(1 << 32)))
    print(f"CONDUCTOR_FAULT_SEED={seed}")
    node.start("--kernel", "embedded")
    node.cli("load", "builtin", "service_map", "--config", "interval=0.2", *KEEP)

    def update(interval: str) -> Callable[[], object]:
        return lambda: node.cli("update", "service_map", "--config", f"interval={interval}", *KEEP)

    def kill(*roles: str) -> Callable[[], object]:
        return lambda: list(map(node.kill, roles))

    scraper, chance = Scraper(node), random.Random(seed)
    with namespaces() as netns, scraper.running():
        left, right = make_lan(netns)
        here = Host(left.namespace, "127.0.0.1", "::1")
        ends = [(left, right, right.v4), (right, left, left.v6), (here, here, "127.0.0.1"), (here, here, "::1")]
        routes = [Route(client, server.listen(address, backlog=64), address) for client, server, address in ends]
        with traffic(routes, seed):
            for event in (kill("agent"), update("0.3"), kill("agent"), update("0.1"), kill("loader", "agent")) * TIMES:
                time.sleep(chance.uniform(0.5, 1.5))
                event()
                node.wait_for(lambda: node.running("service_map"), "running")
        for route in routes:
            node.wait_for(partial(route.is_exact, node), "exact", 20)
            route.listener.close()
    assert scraper.falls == []
    assert sum(route.opened for route in routes) >= CONNECTIONS
    assert scraper.scrapes > 50
    assert scraper.refused > 0, "no scrape met a dead agent"
    print(f"{sum(route.opened for route in routes)} connections, {scraper.scrapes} scrapes, {scraper.refused} refused")
