"""A map of 100,000 entries read into a guest and summed by group there, and by a C program through libbpf."""

from __future__ import annotations

import asyncio
import subprocess
import time
from pathlib import Path
from statistics import median

from bench.map import ENTRIES, ROUNDS, TURNS, filled_map
from bench.table import Row
from bench.wasm_host import Bench, build_guest, host, rival
from conductor.bpf.maps import open_map
from conductor.model.grants import Access
from conductor.model.program import Limits
from conductor.wasm.instance import WasmInstance

LIMITS = Limits(cpu=4.0, cpu_call=10.0, map_operations=10**9)


def measure() -> list[Row]:
    """Measure both by turns on the same pinned map: whole ticks, thread change included, against rounds of the reader."""
    with filled_map() as (place, path):
        return [asyncio.run(_measured(place, path))]


async def _measured(place: Path, path: Path) -> Row:
    reader, guest = rival("map_reader", place), build_guest("map_sum", place)
    ours: list[float] = []
    theirs: list[float] = []
    async with host(place) as bench:
        with open_map(path, Access.READ) as map_:
            instance = await bench.open(guest, {"entries": map_}, access=Access.READ, limits=LIMITS)
            await instance.tick()
            for _ in range(TURNS):
                ours += [await _timed(instance) for _ in range(ROUNDS)]
                said = subprocess.run([reader, path, str(ROUNDS)], check=True, capture_output=True, text=True)  # noqa: ASYNC221 - nothing else runs
                words = said.stdout.split()
                theirs.append(int(words[3]) / 1e6)
            _compare(bench, words)
            await instance.close()
    name = f"map of {ENTRIES:,} entries into a guest, summed there"
    return Row(name=name, ours=median(ours), rival=median(theirs), who="C, libbpf", most=1.5)


async def _timed(instance: WasmInstance) -> float:
    start = time.perf_counter()
    await instance.tick()
    return (time.perf_counter() - start) * 1e3


def _compare(bench: Bench, words: list[str]) -> None:
    values = bench.values()
    found = int(values["map_sum_entries"]), int(values["map_sum_sum"])
    if found != (int(words[0]), int(words[1])) or found[0] != ENTRIES:
        raise SystemExit(f"the two readers disagree: {found} and {words}")
