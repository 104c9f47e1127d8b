"""A fleet at a real API server: what installing all programs and changing all of them writes, sends and takes.

The leader is our own, as a process; agents are simulated (`bench/fleet_agent.py`), each with its token and its watch, and
do not fetch revisions. The rival's figures are computed, not measured: bpfman-operator keeps one State object for each
application and node. To install one takes 1 create and 2 statuses. An edit in place changes nothing of what is loaded,
so that a change is to leave (1 status, 1 finalizer, 1 deletion) and to install again. Its agents watch all States.
CONDUCTOR_BENCH_NODES=3,30 chooses other sizes than 3, 30 and 300.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from bench.fleet_cluster import Cost, Fleet
from bench.table import Row
from tests.cluster.install import found
from tests.cluster.testbed import ASSETS

SIZES = (3, 30, 300)
PROGRAMS = 50
PARTS = ("etcd", "kube-apiserver", "kubectl")
RIVAL = "bpfman-operator, computed"
STATES, STATUSES = "nodestates", "nodestates/status"
STORIES = ("kernelprograms/status", "userprograms/status")
MINE = (STATES, STATUSES, *STORIES, "controllerrevisions", "events", "kernelprograms", "userprograms")


@dataclass(frozen=True, slots=True)
class Scheme:
    """Writes for each application and node, by the rival's scheme."""

    spec: int
    status: int

    @property
    def writes(self) -> int:
        return self.spec + self.status


INSTALL, CHANGE = Scheme(spec=1, status=2), Scheme(spec=3, status=3)


@dataclass(frozen=True, slots=True)
class Step:
    """What people ask for at once."""

    title: str
    scheme: Scheme
    programs: int


STEPS = (
    Step("install all", INSTALL, PROGRAMS),
    Step("change all", CHANGE, PROGRAMS),
    Step("change one", CHANGE, 1),
)


def measure() -> list[Row]:
    """Install and change a fleet of each size."""
    assets = os.environ.get(ASSETS, "")
    folder = Path(assets) if assets else found(*PARTS)
    if folder is None or not all((folder / part).is_file() for part in PARTS):
        print("left out: fleet needs a real API server, which `nox -s bench -- fleet` builds", file=sys.stderr)
        return []
    os.environ[ASSETS] = str(folder)
    sizes = [int(size) for size in os.environ.get("CONDUCTOR_BENCH_NODES", "").split(",") if size] or SIZES
    rows: list[Row] = []
    first: dict[str, float] = {}
    for nodes in sizes:
        print(f"  {nodes} nodes ...", file=sys.stderr, flush=True)
        for step, cost in zip(STEPS, asyncio.run(_costs(nodes)), strict=True):
            rows += _rows(step, nodes, cost, (sizes[0], first.setdefault(step.title, cost.watch_bytes)))
    return rows


async def _costs(nodes: int) -> list[Cost]:
    with tempfile.TemporaryDirectory(prefix="conductor-fleet.") as folder:
        async with Fleet.running(Path(folder), nodes=nodes, programs=PROGRAMS) as fleet:
            return [await fleet.changed(step.title, programs=step.programs) for step in STEPS]


def _rows(step: Step, nodes: int, cost: Cost, first: tuple[int, float]) -> list[Row]:
    group = f"{nodes} nodes, {PROGRAMS} programs: {step.title}"
    return [
        replace(row, group=group)
        for row in (*_written(step, nodes, cost), *_sent(step, nodes, cost, first), *_taken(cost))
    ]


def _rivalled(name: str, ours: float, rival: float, most: float | None = None, *, note: str = "") -> Row:
    """Our figure beside the computed one; the target is ours, an absolute one."""
    bound = most / rival if most is not None else None
    return Row(name=name, ours=ours, rival=rival, who=RIVAL, unit="", most=bound, note=note)


def _written(step: Step, nodes: int, cost: Cost) -> list[Row]:
    pairs, scheme, of = nodes * step.programs, step.scheme, cost.writes
    specs, statuses = of[STATES], of[STATUSES]
    by_leader = sum(of[name] for name in STORIES)
    everything = sum(of[name] for name in MINE) - step.programs  # which people wrote
    a_node = "target {}; {:.2f} a node"
    return [
        _rivalled("spec writes, node x program", specs / pairs, scheme.spec, 1, note=a_node.format(1, specs / nodes)),
        _rivalled(
            "agents' statuses, node x program",
            statuses / pairs,
            scheme.status,
            2,
            note=a_node.format(2, statuses / nodes),
        ),
        Row(
            name="agents' statuses, each spec write",
            ours=statuses / specs,
            unit="",
            most=2,
            note=f"{cost.conflicts} conflicts",
        ),
        Row(name="leader's statuses", ours=by_leader, unit="", note=f"{by_leader / step.programs:.1f} a program"),
        _rivalled(
            "all writes, ours with Events", everything, pairs * scheme.writes, note="theirs without the operator's"
        ),
        _rivalled("objects beside programs, after", cost.objects, nodes * PROGRAMS),
    ]


def _sent(step: Step, nodes: int, cost: Cost, first: tuple[int, float]) -> list[Row]:
    size, figure = first
    events = nodes * step.programs * step.scheme.writes
    return [
        _rivalled("watch events, each agent", cost.watch_events, events, note="theirs: of every State"),
        Row(
            name="watch, each agent",
            ours=cost.watch_bytes / 1024,
            rival=figure / 1024,
            who=f"the same at {size} nodes",
            unit="KiB",
            most=1.25,
            note=f"{cost.watch_bytes / cost.watch_events / 1024:.0f} KiB an event",
        ),
        Row(name="etcd in use, with all history", ours=cost.etcd / 2**20, unit="MiB"),
        Row(name="etcd in use, compacted", ours=cost.etcd_kept / 2**20, unit="MiB"),
    ]


def _taken(cost: Cost) -> list[Row]:
    return [
        Row(name="until all nodes are told to run it", ours=cost.seconds, unit="s"),
        Row(name="leader's CPU", ours=cost.cpu, unit="s"),
        Row(name="leader's resident memory, after", ours=cost.rss, unit="MiB"),
    ]
