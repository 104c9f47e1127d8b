"""Pods, labels, containers, pids and servers that change at random: within a second what is attached is what is meant."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from conductor.managers.cluster_pods import LocalPods
from conductor.managers.kernel_half import KernelHalf
from conductor.model.cluster import Key
from conductor.model.facts import ContainerProcess
from conductor.model.kernel import LinkStatus
from tests.managers.kernel_world import World, podded, tell, wishes
from tests.managers.test_kernel_pods import WEB, places, put

NAMES = [("shop", "web-0"), ("shop", "web-1"), ("bank", "web-0"), ("bank", "db-0")]
CHANGES = 60


@dataclass
class Truth:
    """What there is, and what follows from it."""

    rng: random.Random
    world: World
    labels: dict[tuple[str, str], str] = field(default_factory=dict)
    uids: dict[tuple[str, str], str] = field(default_factory=dict)
    processes: dict[str, ContainerProcess] = field(default_factory=dict)
    """The one of each pod by UID; it may outlive its pod's object."""
    made: int = 0

    def change(self) -> None:
        """Change one thing."""
        name, before = self.rng.choice(NAMES), dict(self.processes)
        if name not in self.uids:
            self._make(name)
        else:
            self.rng.choice((self._delete, self._label, self._restart, self._end, self._make))(name)
        if self.processes != before:
            self.world.containers.change(*self.processes.values())

    def meant(self) -> list[int]:
        """Processes of pods that are labelled so, in the one namespace."""
        uids = [uid for name, uid in self.uids.items() if name[0] == "shop" and self.labels[name] == "web"]
        return sorted(self.processes[uid].pid for uid in uids if uid in self.processes)

    def tell_all(self) -> None:
        """Tell a new agent's watch."""
        pods = self.world.pods = LocalPods()
        for name in self.uids:
            self._put(name)
        pods.synced()

    def _make(self, name: tuple[str, str]) -> None:
        """Also in place of one that was there: its process may go on a while."""
        self.made += 1
        self.uids[name], self.labels[name] = f"u{self.made:07}", self.rng.choice(("web", "db"))
        self._put(name)
        self._restart(name)

    def _put(self, name: tuple[str, str]) -> None:
        put(self.world, *name, self.uids[name], self.labels[name])

    def _delete(self, name: tuple[str, str]) -> None:
        uid = self.uids.pop(name)
        assert self.world.pods is not None
        self.world.pods.drop(Key(*name))
        if self.rng.random() < 0.5:
            self.processes.pop(uid, None)

    def _label(self, name: tuple[str, str]) -> None:
        self.labels[name] = self.rng.choice(("web", "db"))
        self._put(name)

    def _restart(self, name: tuple[str, str]) -> None:
        """Pids are few, so that they are used again."""
        taken = {process.pid for process in self.processes.values()}
        pid = self.rng.choice([pid for pid in range(50, 60) if pid not in taken] or [60 + self.made])
        self.made += 1
        uid = self.uids[name]
        self.processes[uid] = ContainerProcess(
            container=f"{self.made:064}", pod_uid=uid, pid=pid, started=self.made, host_network=False
        )

    def _end(self, name: tuple[str, str]) -> None:
        self.processes.pop(self.uids[name], None)


@pytest.mark.parametrize("seed", range(6))
def test_what_is_attached_is_what_is_meant(tmp_path: Path, seed: int) -> None:
    async def story(world: World, _half: KernelHalf) -> None:
        truth = Truth(random.Random(seed), world)
        wish = wishes(podded("a", pods=WEB, namespace="shop"))
        for _ in range(3):
            truth.tell_all()
            async with world.half() as half:
                await half.converge(wish)
                for _ in range(CHANGES // 3):
                    for _ in range(truth.rng.randint(1, 3)):
                        truth.change()
                    await asyncio.sleep(0.9)
                    assert places(world) == truth.meant()
                assert {link.process.started for link in links(half) if link.process} <= {
                    process.started for process in truth.processes.values()
                }

    tell(tmp_path, story)


def links(half: KernelHalf) -> list[LinkStatus]:
    return [link for status in half.observed() for function in status.functions for link in function.links]
