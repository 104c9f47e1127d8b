"""`conductor top`: what each program costs, from two readings of its counters."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import TYPE_CHECKING, Any, Self

import click

from conductor.cli import shapes
from conductor.cli.output import Column, Document, Table, columns, note, state_style
from conductor.cli.session import seconds, with_agent
from conductor.model.agent import Usage
from conductor.model.status import Cost, StreamCost

if TYPE_CHECKING:
    from conductor.client import Agent

__all__ = ["TOP", "rates", "top"]

_SORT = {
    "cost": lambda d: -((d["cpuPercent"] or 0) + (d["kernelPercent"] or 0)),
    "memory": lambda d: -(d["memoryBytes"] or 0),
    "series": lambda d: -d["series"],
    "name": lambda d: d["name"],
}


def _percent(key: str) -> Any:
    return lambda d: "unknown" if d[key] is None else f"{d[key]:.2f}"


def _rate(key: str) -> Any:
    return lambda d: "unknown" if d[key] is None else _short(d[key])


def _short(count: float) -> str:
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if count >= 10 * size:
            return f"{count / size:.1f}{unit}"
    return f"{count:.0f}" if count >= 10 or count == int(count) else f"{count:.1f}"


def _bytes(count: int | None) -> str:
    if count is None:
        return "unknown"
    for unit, size in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if count >= size:
            return f"{count / size:.1f}{unit}"
    return f"{count}B"


def _loss(document: Document) -> str:
    lost = {reason: count for reason, count in document["eventsDropped"].items() if count}
    return ",".join(f"{reason}={count}" for reason, count in lost.items()) or "0"


def _series(document: Document) -> str:
    refused = document["seriesRefused"]
    return f"{document['series']}" + (f" (+{refused} refused)" if refused else "")


TOP: Table = (
    Column("NAME", lambda d: d["name"]),
    Column("STATE", lambda d: d["state"], style=state_style),
    Column("CPU %", _percent("cpuPercent")),
    Column("MEMORY", lambda d: _bytes(d["memoryBytes"])),
    Column("KERNEL %", _percent("kernelPercent")),
    Column("RUNS/S", _rate("kernelRunsPerSecond")),
    Column("SERIES", _series),
    Column("EVENTS/S", _rate("eventsPerSecond")),
    Column("LOSS", _loss),
)


@click.command(
    epilog="\b\nExamples:\n  conductor top\n  conductor top --once --sort memory\n  conductor top --once -o json"
)
@click.option("--once", is_flag=True, help="Print one table and end; so it is where output is no terminal.")
@click.option("--interval", default="2s", show_default=True, callback=seconds, help="Time between readings.")
@click.option("--sort", type=click.Choice(list(_SORT)), default="cost", show_default=True, help="Order of rows.")
@click.option("-o", "--output", "form", type=click.Choice(["table", "json"]), default="table", help="Form of output.")
@with_agent(streams=True)
async def top(agent: Agent, *, once: bool, interval: float, sort: str, form: str) -> None:
    """Show what each program costs: CPU, memory, run time in the kernel, series, events and loss.

    Run time and runs are those of the kernel programs whose maps a program reads; unknown where nobody counts them.
    """
    live = form == "table" and not once and sys.stdout.isatty()
    with _Screen(live=live) as screen:
        old = await agent.usage()
        while True:
            await asyncio.sleep(interval)
            new = await agent.usage()
            items = sorted(rates(old, new), key=_SORT[sort])
            if form == "json":
                document = {"time": shapes.timestamp(new.time), "interval": new.time - old.time, "items": items}
                click.echo(json.dumps(document, indent=2 if once else None))
            else:
                screen.show(items)
            if once or not (live or form == "json"):
                return
            old = new


def rates(old: Usage, new: Usage) -> list[dict[str, Any]]:
    """What happened between two readings, a document a program; None is unknown, never 0."""
    before = {cost.name: cost for cost in old.costs}
    span = new.time - old.time
    return [_between(before.get(cost.name), cost, span) | {"state": new.states[cost.name].word} for cost in new.costs]


def _between(old: Cost | None, new: Cost, span: float) -> dict[str, Any]:
    def per_second(field: str) -> float | None:
        was, is_ = getattr(old, field, None), getattr(new, field)
        if was is None or is_ is None or is_ < was or span <= 0:  # less than before: another instance
            return None
        return float(is_ - was) / span

    cpu, kernel = per_second("cpu_seconds"), per_second("kernel_run_seconds")
    return {
        "name": new.name,
        "state": "",
        "cpuPercent": None if cpu is None else 100 * cpu,
        "memoryBytes": new.memory_bytes,
        "kernelPercent": None if kernel is None else 100 * kernel,
        "kernelRunsPerSecond": per_second("kernel_runs"),
        "series": new.series,
        "seriesRefused": new.series_refused,
        "eventsPerSecond": per_second("events_delivered"),
        "eventsDelivered": new.events_delivered,
        "eventsTaken": new.events_taken,
        "eventsQueued": new.events_queued,
        "eventsDropped": dict(new.events_dropped),
        "kernelLosses": new.kernel_losses,
        "streams": {name: _books(stream) for name, stream in new.streams.items()},
        "logLinesDropped": new.log_lines_dropped,
        "ticks": new.ticks,
        "tickSeconds": new.tick_seconds,
        "cpuSeconds": new.cpu_seconds,
        "kernelRunSeconds": new.kernel_run_seconds,
        "kernelRuns": new.kernel_runs,
    }


def _books(stream: StreamCost) -> dict[str, Any]:
    return {
        "taken": stream.taken,
        "delivered": stream.delivered,
        "queued": stream.queued,
        "dropped": dict(stream.dropped),
        "kernelLosses": stream.kernel_losses,
    }


class _Screen:
    """Where tables go: drawn over each other on a terminal, once elsewhere."""

    def __init__(self, *, live: bool) -> None:
        self._live: Any = None
        if live:
            from rich.live import Live  # noqa: PLC0415 - rich is slow to import

            self._live = Live(auto_refresh=False, screen=True)

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def show(self, items: list[dict[str, Any]]) -> None:
        """Draw the table."""
        if not self._live:
            click.echo(columns(items, TOP), nl=False) if items else note("No programs.")
            return
        from rich.text import Text  # noqa: PLC0415 - as above

        text = columns(items, TOP) if items else "No programs.\n"
        self._live.update(Text.from_ansi(text + "\nCtrl-C ends."), refresh=True)
