"""How hard this host is pressed: stalls (PSI), load and memory, from /proc and /sys alone."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from conductor.builtin.kit.declared import Functions, parse_config
from conductor.model.grants import MapNeed
from conductor.model.metrics import MetricKind, MetricSpec
from conductor.ports import Program, ProgramContext

__all__ = ["HostPressure", "Running", "memory", "stalls"]

Numbers = dict[tuple[str, ...], float]
"""Label values to a number."""
RESOURCES = ("cpu", "memory", "io", "irq")
MEMORY = {
    "MemTotal": "total",
    "MemAvailable": "available",
    "MemFree": "free",
    "Cached": "cached",
    "SwapTotal": "swap_total",
    "SwapFree": "swap_free",
}
DEPTH = 4
"""Levels of cgroups below the root that are looked at: deeper ones are part of their parents' stalls."""

STALLED = MetricSpec(
    name="host_pressure_stalled_seconds_total",
    kind=MetricKind.COUNTER,
    help="Time in which some or all (full) tasks waited for a resource.",
    unit="seconds",
    labels=("resource", "severity"),
)
RATIO = MetricSpec(
    name="host_pressure_stalled_ratio",
    kind=MetricKind.GAUGE,
    help="Share of the window in which some or all (full) tasks waited for a resource.",
    unit="ratio",
    labels=("resource", "severity", "window"),
)
LOAD = MetricSpec(
    name="host_pressure_load",
    kind=MetricKind.GAUGE,
    help="Tasks that run, want to run or wait for a disk, averaged over the window.",
    labels=("window",),
)
MEMORY_BYTES = MetricSpec(
    name="host_pressure_memory_bytes",
    kind=MetricKind.GAUGE,
    help="Memory and swap by state.",
    unit="bytes",
    labels=("state",),
)
CGROUP_STALLED = MetricSpec(
    name="host_pressure_cgroup_stalled_seconds_total",
    kind=MetricKind.COUNTER,
    help="Time in which some or all (full) tasks of a cgroup waited for a resource.",
    unit="seconds",
    labels=("cgroup", "resource", "severity"),
    ttl=300.0,
)
LEFT_OUT = MetricSpec(
    name="host_pressure_cgroups_left_out",
    kind=MetricKind.GAUGE,
    help="Cgroups not shown because there are more than the setting cgroups.",
)


class HostPressure:
    """The declaration. PSI needs CONFIG_PSI (kernel 4.20) and, on some distributions, psi=1 at boot."""

    name: ClassVar[str] = "host_pressure"
    description: ClassVar[str] = "How hard this host is pressed: stalls, load and memory; no kernel half."
    needs: ClassVar[tuple[MapNeed, ...]] = ()
    metrics: ClassVar[tuple[MetricSpec, ...]] = (STALLED, RATIO, LOAD, MEMORY_BYTES, CGROUP_STALLED, LEFT_OUT)
    config_schema: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "interval": {
                "type": "number",
                "default": 5,
                "minimum": 0.1,
                "maximum": 300,
                "description": "Seconds between readings.",
            },
            "cgroups": {
                "type": "integer",
                "default": 64,
                "minimum": 0,
                "maximum": 1000,
                "description": "Most cgroups (version 2) that are shown; those nearest the root come first.",
            },
        },
    }
    kernel_half: ClassVar[Functions] = ()

    @classmethod
    def open(cls, context: ProgramContext) -> Program:
        """Start reading this host."""
        return Running(context=context, config=parse_config(cls, context.config), root=Path("/"))


class Running:
    """One instance: reads files, writes series."""

    def __init__(self, *, context: ProgramContext, config: Mapping[str, Any], root: Path) -> None:
        self._context, self._config = context, config
        self._proc, self._cgroups = root / "proc", root / "sys/fs/cgroup"
        self._handles = {metric.name: context.series.declare(metric) for metric in HostPressure.metrics}
        self._has_told = False

    @property
    def interval(self) -> float:
        """Seconds between ticks."""
        return float(self._config["interval"])

    def tick(self) -> None:
        """Read everything once; what this host does not have is left out."""
        self._stalls()
        load = _text(self._proc / "loadavg").split()[:3]
        self._write(LOAD, {(window,): float(word) for window, word in zip(("1m", "5m", "15m"), load, strict=False)})
        self._write(MEMORY_BYTES, {(state,): v for state, v in memory(_text(self._proc / "meminfo")).items()})
        if self._config["cgroups"]:
            self._cgroup_stalls()

    def close(self) -> None:
        """Nothing is held."""

    def _stalls(self) -> None:
        totals, ratios = Numbers(), Numbers()
        for resource in RESOURCES:
            for severity, numbers in stalls(_text(self._proc / "pressure" / resource)).items():
                totals[resource, severity] = numbers.pop("total")
                ratios |= {(resource, severity, window): share for window, share in numbers.items()}
        self._write(STALLED, totals)
        self._write(RATIO, ratios)
        if not totals and not self._has_told:
            self._context.log("warning", "this kernel tells no pressure: boot with psi=1 (CONFIG_PSI)")
            self._has_told = True

    def _cgroup_stalls(self) -> None:
        root = _unified(self._cgroups)
        if root is None:
            return
        found = list(_walk(root, DEPTH))
        shown, totals = found[: self._config["cgroups"]], Numbers()
        for group, resource in itertools.product(shown, RESOURCES):
            for severity, numbers in stalls(_text(group / f"{resource}.pressure")).items():
                totals[f"/{group.relative_to(root)}", resource, severity] = numbers["total"]
        self._write(CGROUP_STALLED, totals)
        self._write(LEFT_OUT, {(): float(len(found) - len(shown))})

    def _write(self, metric: MetricSpec, values: Numbers) -> None:
        if values:
            ids = self._context.series.intern(self._handles[metric.name], list(values))
            self._context.series.set(ids, np.fromiter(values.values(), np.float64, len(values)))


def stalls(text: str) -> dict[str, dict[str, float]]:
    """Read a pressure file: severity to seconds (`total`) and shares (`10s`, `60s`, `300s`)."""
    found = {}
    for severity, *fields in (line.split() for line in text.splitlines()):
        numbers = dict(field.split("=") for field in fields)
        shares = {f"{key.removeprefix('avg')}s": float(v) / 100 for key, v in numbers.items() if key != "total"}
        found[severity] = {"total": int(numbers["total"]) / 1e6, **shares}
    return found


def memory(text: str) -> dict[str, float]:
    """Read /proc/meminfo: state to bytes."""
    lines = (line.partition(":") for line in text.splitlines())
    return {MEMORY[name]: int(rest.split()[0]) * 1024.0 for name, _, rest in lines if name in MEMORY}


def _text(path: Path) -> str:
    """Answer a file's text; empty where the kernel has none or, as with PSI switched off, does not tell."""
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""


def _unified(root: Path) -> Path | None:
    """Where the version 2 tree is: all of it, or beside version 1."""
    return next((path for path in (root, root / "unified") if (path / "cgroup.controllers").is_file()), None)


def _walk(root: Path, depth: int) -> Iterator[Path]:
    """Cgroups below the root, those nearest it first."""
    waiting = deque([(root, depth)])
    while waiting:
        folder, left = waiting.popleft()
        try:
            below = sorted(entry for entry in folder.iterdir() if entry.is_dir())
        except OSError:  # it went away
            continue
        yield from below
        if left > 1:
            waiting.extend((each, left - 1) for each in below)
