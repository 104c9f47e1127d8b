"""What a change of a fleet took, and how that grows with the fleet."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from bench.fleet_crowd import Heard

STATES = "nodestates"
PROGRAMS = ("kernelprograms", "userprograms")
OTHERS = ("controllerrevisions", "events", *PROGRAMS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What one change of programs took."""

    seconds: float
    writes: Counter[str]
    """Accepted by the API server, by its own count: resource and subresource."""
    objects: int
    """NodeStates and revisions, afterwards."""
    etcd: int
    """Bytes that etcd has more in use, with all history since the change began."""
    etcd_kept: int
    """The same once that history is compacted."""
    nodes: int
    heard: Heard
    """Of all agents together."""
    cpu: dict[str, float]
    """Seconds of leader, API server, etcd and simulated agents."""
    rss: float
    """MiB of the leader's process, afterwards."""
    highest: float
    """The most that it had so far."""
    load: float
    """Of this machine, over the last minute."""

    @property
    def specs(self) -> int:
        """Writes of what nodes are to run."""
        return self.writes[STATES]

    @property
    def statuses(self) -> int:
        """Writes of agents."""
        return self.writes[f"{STATES}/status"]

    @property
    def stories(self) -> int:
        """Statuses of programs."""
        return sum(self.writes[f"{name}/status"] for name in PROGRAMS)

    @property
    def mine(self) -> int:
        """All of ours, and what people wrote of programs."""
        return self.specs + self.statuses + self.stories + sum(self.writes[name] for name in OTHERS)

    @property
    def watch_bytes(self) -> float:
        """Of an agent, on average."""
        return self.heard.stream_bytes / self.nodes

    @property
    def watch_events(self) -> float:
        """Of an agent, on average."""
        return self.heard.events / self.nodes


LINES: tuple[tuple[str, Callable[[Cost], str]], ...] = (
    ("spec writes a node", lambda cost: f"{cost.specs / cost.nodes:.2f}"),
    ("statuses a node", lambda cost: f"{cost.statuses / cost.nodes:.2f}"),
    ("statuses a spec write", lambda cost: f"{cost.statuses / cost.specs:.2f}"),
    ("the most of one node", lambda cost: f"{cost.heard.most_statuses}"),
    ("conflicts of agents", lambda cost: f"{cost.heard.conflicts}"),
    ("leader's statuses", lambda cost: f"{cost.stories}"),
    ("watch events an agent", lambda cost: f"{cost.watch_events:.2f}"),
    ("watch KiB an agent", lambda cost: f"{cost.watch_bytes / 1024:.0f}"),
    ("etcd MiB, with history", lambda cost: f"{cost.etcd / 2**20:.1f}"),
    ("etcd MiB, compacted", lambda cost: f"{cost.etcd_kept / 2**20:.1f}"),
    ("seconds until all run it", lambda cost: f"{cost.seconds:.0f}"),
    ("CPU s, leader", lambda cost: f"{cost.cpu['leader']:.1f}"),
    ("CPU s, API server", lambda cost: f"{cost.cpu['API server']:.0f}"),
    ("CPU s, etcd", lambda cost: f"{cost.cpu['etcd']:.0f}"),
    ("CPU s, simulated agents", lambda cost: f"{cost.cpu['simulated agents']:.0f}"),
    ("leader's MiB, after", lambda cost: f"{cost.rss:.0f}"),
    ("leader's MiB, at the most", lambda cost: f"{cost.highest:.0f}"),
    ("load of the machine", lambda cost: f"{cost.load:.1f}"),
)


def show_curve(title: str, costs: Sequence[Cost]) -> None:
    """Print one change at each size."""
    table = Table(title=f"nox -s bench: {title}, by the number of nodes")
    table.add_column("")
    for cost in costs:
        table.add_column(f"{cost.nodes:,}", justify="right")
    for name, figure in LINES:
        table.add_row(name, *(figure(cost) for cost in costs))
    Console(width=40 + 12 * len(costs)).print(table)
