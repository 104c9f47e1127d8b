"""Protocols between the layers; each belongs to its user, and is kept narrow.

Worlds (`bpf`, `bpfman`, `net`, …) and fakes implement them; `agent.py` puts them together. Everybody imports from here;
only values that protocols hand over and the protocols themselves live below.
"""

from __future__ import annotations

from conductor.ports.cluster import Cluster
from conductor.ports.facts import Claims, ClusterFacts
from conductor.ports.images import ImageSource, PulledImage, PullSecrets
from conductor.ports.kernel import Containers, InterfaceSource, Kernel, KernelLoad, KernelLoaded, PodSource, RoadStatus
from conductor.ports.maps import Cursor, Entries, MapHandle, MapLayouts, MapOpener, RingHandle
from conductor.ports.programs import Ids, LogSink, Lookup, Program, ProgramContext, SeriesSink, StateCell, Values
from conductor.ports.runtimes import (
    BreaksBetweenTicks,
    Instance,
    InstanceCost,
    KeepsRecords,
    ModuleNeeds,
    ModuleReader,
    Runtime,
)

__all__ = [
    "BreaksBetweenTicks",
    "Claims",
    "Cluster",
    "ClusterFacts",
    "Containers",
    "Cursor",
    "Entries",
    "Ids",
    "ImageSource",
    "Instance",
    "InstanceCost",
    "InterfaceSource",
    "KeepsRecords",
    "Kernel",
    "KernelLoad",
    "KernelLoaded",
    "LogSink",
    "Lookup",
    "MapHandle",
    "MapLayouts",
    "MapOpener",
    "ModuleNeeds",
    "ModuleReader",
    "PodSource",
    "Program",
    "ProgramContext",
    "PullSecrets",
    "PulledImage",
    "RingHandle",
    "RoadStatus",
    "Runtime",
    "SeriesSink",
    "StateCell",
    "Values",
]
