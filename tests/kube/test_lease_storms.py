"""Three candidates through whatever connections and servers do, by seed: never two lead at once."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

import pytest

from conductor.kube.leader import lead_for_ever
from tests.fakes.cluster_connection import FakeConnection, FakeServer
from tests.kube.terms import SECONDS, Log, a_lease, told


def trouble(rng: random.Random, server: FakeServer, client: FakeConnection) -> None:
    """Make or mend something."""
    happenings: tuple[Callable[[], None], ...] = (
        client.cut.stop,
        client.cut.go_on,
        client.cut.go_on,
        lambda: setattr(client, "delay", rng.choice((0, 0, 0.5, 3))),
        lambda: setattr(client, "loses", rng.randrange(4)),
        server.frozen.stop,
        server.frozen.go_on,
        server.frozen.go_on,
        lambda: setattr(server, "down", not server.down),
    )
    rng.choice(happenings)()


@pytest.mark.parametrize("seed", range(15))
def test_never_two_at_once_and_at_last_one(seed: int) -> None:
    rng = random.Random(seed)

    async def story(s: FakeServer) -> None:
        log = Log()
        clients = [s.client(f"n{number}") for number in range(3)]
        leases = [a_lease(client, skew=rng.uniform(-1000, 1000)) for client in clients]
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(lead_for_ever(lease, log.work(client.who)))
                for lease, client in zip(leases, clients, strict=True)
            ]
            for _ in range(120):
                await asyncio.sleep(rng.uniform(0, SECONDS))
                trouble(rng, s, rng.choice(clients))
            s.down = False
            s.frozen.go_on()
            for client in clients:
                client.cut.go_on()
                client.delay = client.loses = 0
            await asyncio.sleep(4 * SECONDS)
            assert log.working is not None
            assert sum(lease.counts.held for lease in leases) == 1
            assert all(lease.counts.overran == 0 for lease in leases)
            for task in tasks:
                task.cancel()
        assert len(log.terms) > 1

    told(story)
