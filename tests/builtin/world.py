"""The world of a built-in under test: names, a state file, a log, and the page that it writes."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from conductor.builtin import Builtin, parse_config
from conductor.errors import StateUnwritable
from conductor.exporter.page import Page
from conductor.exporter.store import SeriesStore
from conductor.model.facts import Container, Workload
from conductor.model.ids import Name
from conductor.ports import MapHandle, Program, ProgramContext
from tests.builtin.lan import packed

__all__ = ["FakeLookup", "FakeState", "World", "eventually"]

LABEL = re.compile(r'(\w+)="([^"]*)"')


class FakeLookup:
    """A names file (ports.Lookup): addresses to names of kind Host, changed at will. It knows nothing else."""

    def __init__(self) -> None:
        self.names: dict[bytes, Workload] = {}
        self.settled = True
        """Names of a cluster are there, or are not waited for any more."""

    def name(self, address: str, name: str, *, kind: str = "Host", namespace: str = "") -> None:
        self.names[packed(address)] = Workload(kind=kind, name=name, namespace=namespace)

    def workloads(self, addresses: Sequence[bytes]) -> list[Workload | None]:
        assert all(len(address) == 16 for address in addresses)
        return [self.names.get(address) for address in addresses]

    def containers(self, cgroup_ids: Sequence[int]) -> list[Container | None]:
        return [None for _ in cgroup_ids]

    def is_local(self, addresses: Sequence[bytes]) -> list[bool]:
        return [False for _ in addresses]

    def is_settled(self) -> bool:
        return self.settled


@dataclass
class FakeState:
    """A state cell (ports.StateCell) in a file; `is_full` makes the disk refuse."""

    path: Path
    is_full: bool = False

    def load(self) -> bytes | None:
        return self.path.read_bytes() if self.path.exists() else None

    def store(self, state: bytes) -> None:
        if self.is_full:
            raise StateUnwritable("no space left on device")
        self.path.write_bytes(state)


@dataclass
class World:
    """One agent's worth of world; `reborn` is what a new process finds after kill -9."""

    state: FakeState
    maps: Mapping[str, MapHandle] = field(default_factory=dict)
    lookup: FakeLookup = field(default_factory=FakeLookup)
    log: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.store = SeriesStore()
        self.page = Page(store=self.store)

    def context(self, *, series: int = 10_000, **config: Any) -> ProgramContext:
        return ProgramContext(
            name=Name("under-test"),
            config=config,
            maps=self.maps,
            series=self.store.sink("under-test", series),
            lookup=self.lookup,
            log=lambda level, message: self.log.append((level, message)),
            state=self.state,
        )

    def open(self, builtin: type[Builtin], *, series: int = 10_000, **config: Any) -> Program:
        return builtin.open(self.context(series=series, **parse_config(builtin, config)))

    def reborn(self) -> World:
        return World(state=self.state, maps=self.maps, lookup=self.lookup)

    def samples(self) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
        """The page: (name, labels in alphabetical order) to value."""
        self.page.tick(time.monotonic())
        found = {}
        for line in self.page.render(openmetrics=False, gzip=False).decode().splitlines():
            if not line.startswith("#"):
                series, value = line.rsplit(" ", 1)
                name, _, labels = series.partition("{")
                pairs = (pair for pair in LABEL.findall(labels) if pair[0] != "program")
                found[name, tuple(sorted(pairs))] = float(value)
        return found

    def values(self, name: str, **labels: str) -> list[float]:
        """Values of all samples of a name that have these labels."""
        return [v for (n, have), v in self.samples().items() if n == name and labels.items() <= dict(have).items()]


def eventually(read: Callable[[], Any], expected: Any, *, within: float = 5.0) -> None:
    """Read until it is as expected: what the kernel ends by itself (acknowledgements, FINs) takes a moment."""
    deadline = time.monotonic() + within
    while (seen := read()) != expected and time.monotonic() < deadline:
        time.sleep(0.01)
    assert seen == expected
