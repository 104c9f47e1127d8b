"""A fleet at a real API server: what installing all programs and changing all of them writes, sends and takes.

The leader is our own, as a process; agents are simulated (`bench/fleet_agent.py`), each with its token and its watch, and
do not fetch revisions. The rival's figures are computed, not measured: bpfman-operator keeps one State object for each
application and node. To install one takes 1 create and 2 statuses. An edit in place changes nothing of what is loaded,
so that a change is to leave (1 status, 1 finalizer, 1 deletion) and to install again. Its agents watch all States.
`--nodes 3,5000` or CONDUCTOR_BENCH_NODES chooses other sizes than 3, 30 and 300.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from bench.fleet_cluster import Fleet
from bench.fleet_cost import Cost, show_curve
from bench.table import Row
from tests.cluster.install import found
from tests.cluster.testbed import ASSETS

SIZES = (3, 30, 300)
PROGRAMS = 50
PARTS = ("etcd", "kube-apiserver", "kubectl")
RIVAL = "bpfman-operator, computed"
CHOSEN = "CONDUCTOR_BENCH_NODES"


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
    sizes = [int(size) for size in os.environ.get(CHOSEN, "").split(",") if size] or SIZES
    costs: dict[int, list[Cost]] = {}
    for nodes in sizes:
        print(f"  {nodes} nodes ...", file=sys.stderr, flush=True)
        costs[nodes] = asyncio.run(_costs(nodes))
    if len(sizes) > 1:
        for number, step in enumerate(STEPS):
            show_curve(f"{step.title} of {PROGRAMS} programs", [of[number] for of in costs.values()])
    return [
        row
        for nodes, these in costs.items()
        for step, cost in zip(STEPS, these, strict=True)
        for row in _rows(step, nodes, cost)
    ]


async def _costs(nodes: int) -> list[Cost]:
    with tempfile.TemporaryDirectory(prefix="conductor-fleet.") as folder:
        async with Fleet.running(Path(folder), nodes=nodes, programs=PROGRAMS) as fleet:
            costs = []
            for step in STEPS:
                costs.append(await fleet.changed(step.title, programs=step.programs))
                print(f"    {step.title}: {costs[-1].seconds:.0f} s", file=sys.stderr, flush=True)
            return costs


def _rows(step: Step, nodes: int, cost: Cost) -> list[Row]:
    group = f"{nodes} nodes, {PROGRAMS} programs: {step.title}"
    return [
        replace(row, group=group) for row in (*_written(step, nodes, cost), *_sent(step, nodes, cost), *_taken(cost))
    ]


def _rivalled(name: str, ours: float, rival: float, most: float | None = None, *, note: str = "") -> Row:
    """Our figure beside the computed one; the target is ours, an absolute one."""
    bound = most / rival if most is not None else None
    return Row(name=name, ours=ours, rival=rival, who=RIVAL, unit="", most=bound, note=note)


def _written(step: Step, nodes: int, cost: Cost) -> list[Row]:
    pairs, scheme = nodes * step.programs, step.scheme
    specs, statuses, by_leader = cost.specs, cost.statuses, cost.stories
    everything = cost.mine - step.programs  # which people wrote
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
            note=f"{cost.heard.conflicts} conflicts",
        ),
        Row(name="  the most of one node", ours=cost.heard.most_statuses, unit="", most=2, note="since it began"),
        Row(name="leader's statuses", ours=by_leader, unit="", note=f"{by_leader / step.programs:.1f} a program"),
        _rivalled(
            "all writes, ours with Events", everything, pairs * scheme.writes, note="theirs without the operator's"
        ),
        _rivalled("objects beside programs, after", cost.objects, nodes * PROGRAMS),
    ]


def _sent(step: Step, nodes: int, cost: Cost) -> list[Row]:
    events = nodes * step.programs * step.scheme.writes
    return [
        _rivalled("watch events, each agent", cost.watch_events, events, note="theirs: of every State"),
        Row(
            name="watch events, each write to its object",
            ours=cost.heard.events / (cost.specs + cost.statuses),
            unit="",
            most=1.02,
            note="1: none is of another node",
        ),
        Row(
            name="watch, each agent",
            ours=cost.watch_bytes / 1024,
            unit="KiB",
            note=f"{cost.watch_bytes / cost.watch_events / 1024:.0f} KiB an event",
        ),
        Row(name="etcd in use, with all history", ours=cost.etcd / 2**20, unit="MiB"),
        Row(name="etcd in use, compacted", ours=cost.etcd_kept / 2**20, unit="MiB"),
    ]


def _taken(cost: Cost) -> list[Row]:
    return [
        Row(name="until all nodes are told to run it", ours=cost.seconds, unit="s", note=f"load {cost.load:.1f}"),
        *(Row(name=f"CPU, {name}", ours=seconds, unit="s") for name, seconds in cost.cpu.items()),
        Row(
            name="leader's resident memory, after",
            ours=cost.rss,
            unit="MiB",
            note=f"{cost.highest:.0f} MiB at the most",
        ),
        Row(name="  at the most so far", ours=cost.highest, unit="MiB", most=300),
    ]
