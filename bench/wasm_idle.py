"""A thousand idle programs in one agent: what each holds, and whether the agent still answers at once.

A program counts its ticks, one every 5 s, as the rival does: a process for each. What a program holds is what the agent
grew by, all of it counted: guest, series, what the managers know of it, page tables; a page of the module that instances
share is there once, and not counted. psi_watch is an example that does more: four metrics (13 lines), each second. The rival is measured by what a few processes hold for themselves alone: pages that they share are not counted at all.
"""

from __future__ import annotations

import asyncio
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from bench.processes import cpu_seconds, exporters, memory_of, tables_of
from bench.start import agent_of, folder, node, wait
from bench.table import Row
from bench.wasm_host import build_example, build_guest
from conductor.client import Agent

PROGRAMS = {"c": 1000, "rust": 1000, "assemblyscript": 1000, "go": 50}
WATCHES = {"c": 300, "rust": 300, "assemblyscript": 300}
AT_ONCE = 8
SETTLE_SECONDS = 11.0
"""Every program has ticked twice."""
CALLS = 25
TARGETS = {"c": 64.0, "rust": 64.0, "assemblyscript": 64.0}


@dataclass
class Seen:
    """What an agent showed with many programs."""

    each: float = 0.0
    """KiB that it grew by for each, page tables included."""
    resident: float = 0.0
    """The same as RSS counts: shared pages as often as they are mapped."""
    tables: float = 0.0
    """KiB of page tables for each, among that."""
    with_100: float = 0.0
    """MiB resident."""
    with_all: float = 0.0
    scrape: float = 0.0
    """Milliseconds, medians."""
    rpc: float = 0.0
    cpu: float = 0.0
    """Share of one processor."""
    page: int = 0
    before: dict[str, float] = field(default_factory=dict)


def measure() -> list[Row]:
    """Fill one agent for each language; then look at the rivals."""
    rows: list[Row] = []
    with folder() as root:
        rivals = exporters(root)
        for language, count in PROGRAMS.items():
            rows += _tried(root, "ticks", language, count, rivals)
        for language, count in WATCHES.items():
            rows += _tried(root, "psi_watch", language, count, {})
    return rows


def _tried(root: Path, guest: str, language: str, count: int, rivals: dict[str, tuple[float, float]]) -> list[Row]:
    build = build_guest if guest == "ticks" else build_example
    try:
        module = build(guest, root, language)
    except SystemExit as exc:
        return [Row(name=f"{guest} in {language}", ours=0.0, note=f"not measured: {_reason(exc)}")]
    place = root / f"node-{guest}-{language}"
    with node(place, "--kernel", "none") as (port, log):
        wait(port)
        seen = asyncio.run(_filled(place, agent_of(log), port, module, count))
    return _rows(language, count, seen, rivals) if guest == "ticks" else [_watched(language, count, seen)]


def _watched(language: str, count: int, seen: Seen) -> Row:
    name = f"{count:,} of psi_watch in {language}, memory of each"
    return Row(name=name, unit="KiB", ours=seen.each, note=f"{seen.tables:.0f} of them page tables; ticks each second")


def _reason(failed: SystemExit) -> str:
    return str(failed).strip().splitlines()[-1]


async def _filled(root: Path, pid: int, port: int, module: Path, count: int) -> Seen:
    seen = Seen()
    async with Agent.connect(root / "run/agent.sock") as agent:
        digest = await agent.upload(module)
        await _load(agent, digest, range(1))
        await asyncio.sleep(SETTLE_SECONDS / 2)
        seen.before = {"scrape": await _scrape(port), "rpc": await _rpc(agent)}
        start, tables = memory_of(pid), tables_of(pid)
        await _load(agent, digest, range(1, min(count, 100)))
        await asyncio.sleep(SETTLE_SECONDS)
        seen.with_100 = memory_of(pid).resident / 1024
        await _load(agent, digest, range(100, count))
        await asyncio.sleep(SETTLE_SECONDS)
        end = memory_of(pid)
        seen.with_all, more = end.resident / 1024, count - 1
        seen.tables = (tables_of(pid) - tables) / more
        seen.each = (end.anonymous - start.anonymous) / more + seen.tables
        seen.resident = (end.resident - start.resident) / more
        seen.scrape, seen.rpc = await _scrape(port), await _rpc(agent)
        begin, cpu = time.monotonic(), cpu_seconds(pid)
        await asyncio.sleep(SETTLE_SECONDS)
        seen.cpu = (cpu_seconds(pid) - cpu) / (time.monotonic() - begin)
        seen.page = len(await asyncio.to_thread(_page, port))
    return seen


async def _load(agent: Agent, digest: str, numbers: range) -> None:
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(number: int) -> None:
        async with gate:
            await agent.load(f"idle-{number}", wasm=digest, timeout=120)

    async with asyncio.TaskGroup() as group:
        for number in numbers:
            group.create_task(one(number))


def _page(port: int) -> bytes:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
        content: bytes = answer.read()
        return content


async def _scrape(port: int) -> float:
    return await _median(lambda: asyncio.to_thread(_page, port))


async def _rpc(agent: Agent) -> float:
    return await _median(lambda: agent.get("idle-0"))


async def _median(call: Callable[[], object]) -> float:
    taken = []
    for _ in range(CALLS):
        start = time.perf_counter()
        await call()  # type: ignore[misc]
        taken.append((time.perf_counter() - start) * 1e3)
        await asyncio.sleep(0.1)
    return median(taken)


def _rows(language: str, count: int, seen: Seen, rivals: dict[str, tuple[float, float]]) -> list[Row]:
    name = f"{count:,} idle wasm programs in {language}"
    note = (
        f"{seen.tables:.0f} of them page tables; {seen.resident:.0f} by RSS; agent: {seen.with_all:.0f} MiB with "
        f"{count:,}, at {seen.cpu:.0%} of a CPU"
    )
    rows = [Row(name=f"{name}, memory of each", unit="KiB", ours=seen.each, most=TARGETS.get(language), note=note)]
    if language == "c":
        rows += [
            Row(name="  against a minimal exporter each", unit="KiB", ours=seen.each, rival=own, who=f"{who}, a process each",
                note=f"{resident / 1024:.0f} MiB resident each; {own * count / (1 << 20):.1f} GiB for {count:,}")
            for who, (own, resident) in rivals.items()
        ]  # fmt: skip
        rows.append(Row(name="  agent with 100 of them, resident", unit="MiB", ours=seen.with_100, most=100))
    rows += [
        Row(
            name="  scrape",
            ours=seen.scrape,
            rival=seen.before["scrape"],
            who="with one program",
            note=f"{seen.page:,} bytes",
        ),
        Row(name="  gRPC Get", ours=seen.rpc, rival=seen.before["rpc"], who="with one program"),
    ]
    return rows
