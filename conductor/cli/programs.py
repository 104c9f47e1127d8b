"""`conductor list`, `conductor get`: user programs as they stand."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from conductor.cli import shapes
from conductor.cli.output import (
    Column,
    Document,
    Format,
    Table,
    columns,
    json_text,
    output_option,
    show,
    state_style,
    write,
)
from conductor.cli.session import ProgramName, with_agent
from conductor.model.agent import WatchEvent, WatchType

if TYPE_CHECKING:
    from conductor.client import Agent

__all__ = ["PROGRAMS", "details", "get", "list_", "show_program"]


def _age(document: Document) -> str:
    since = document["since"]
    return shapes.age(datetime.fromisoformat(since).timestamp(), time.time()) if since else ""


def _maps(document: Document) -> str:
    return ",".join(f"{m['name']}={m['kernelProgram']}" for m in document["maps"])


def _from(document: Document) -> str:
    return f"builtin:{document['builtin']}" if document["builtin"] else document["bytecode"]


PROGRAMS: Table = (
    Column("NAME", lambda d: d["name"]),
    Column("TYPE", lambda d: d["type"]),
    Column("STATE", lambda d: d["state"], style=state_style),
    Column("REASON", lambda d: d["reason"]),
    Column("RESTARTS", lambda d: str(d["restarts"])),
    Column("AGE", _age),
    Column("SOURCE", lambda d: d["source"], wide=True),
    Column("GENERATION", lambda d: str(d["generation"]), wide=True),
    Column("FROM", _from, wide=True),
    Column("MAPS", _maps, wide=True),
    Column("MESSAGE", lambda d: d["message"], wide=True),
)
AVAILABLE: Table = (
    Column("NAME", lambda d: d["name"]),
    Column("TYPE", lambda d: d["type"]),
    Column("DESCRIPTION", lambda d: d["description"]),
    Column("MAPS", lambda d: ",".join(need["name"] for need in d["needs"]), wide=True),
    Column("METRICS", lambda d: ",".join(metric["name"] for metric in d["metrics"]), wide=True),
    Column("CONFIG", lambda d: ",".join(d["configSchema"].get("properties", {})), wide=True),
)


@click.command(
    "list",
    epilog="\b\nExamples:\n  conductor list\n  conductor list -l team=net -o json\n  conductor list --available -o wide",
)
@click.option("--available", is_flag=True, help="List what could be loaded here instead.")
@click.option("--type", "kind", type=click.Choice(["builtin", "wasm"], case_sensitive=False), help="Only this type.")
@click.option("-l", "--label", "labels", metavar="K=V", multiple=True, help="Only programs with this metadata.")
@click.option("-w", "--watch", is_flag=True, help="Go on and print every change, until Ctrl-C.")
@output_option
@with_agent(streams="watch")
async def list_(
    agent: Agent, *, available: bool, kind: str | None, labels: Sequence[str], watch: bool, form: Format
) -> None:
    """List user programs: what runs, what waits for what, what failed and why."""
    from conductor.cli.assignments import pairs  # noqa: PLC0415 - only where labels are given
    from conductor.model.program import ProgramType  # noqa: PLC0415 - as above

    wanted = ProgramType[kind.upper()] if kind else None
    if available:
        found = [one for one in await agent.list_available() if wanted in (None, one.type)]
        show([shapes.available(one) for one in found], AVAILABLE, form, empty="Nothing can be loaded here.")
    elif watch:
        await _watch(agent, form, match=pairs(labels, "--label"), kind=wanted)
    else:
        listed = await agent.list(wanted, metadata=pairs(labels, "--label"))
        documents = [shapes.program(status) for status in sorted(listed, key=lambda s: s.spec.name)]
        show(documents, PROGRAMS, form, empty="No programs. `conductor list --available` shows what could be loaded.")


@click.command(epilog="\b\nExamples:\n  conductor get service_map\n  conductor get service_map -o json | jq .state")
@click.argument("name", type=ProgramName())
@click.option("-w", "--watch", is_flag=True, help="Go on and print every change, until Ctrl-C.")
@output_option
@with_agent(streams="watch")
async def get(agent: Agent, *, name: str, watch: bool, form: Format) -> None:
    """Show one user program."""
    status = await agent.get(name)
    if watch:
        await _watch(agent, form, name=name)
    elif form == "table":
        click.echo(details(shapes.program(status)), nl=False)
    else:
        show_program(shapes.program(status), form)


def show_program(document: Document, form: Format) -> None:
    """Print one program: a document of its own in JSON and YAML, a row in a table."""
    if form in {"json", "yaml"}:
        write(document, form)
    else:
        show([document], PROGRAMS, form)


def details(document: Document) -> str:
    """Everything about one program, a line each; what is empty is left out."""
    lines: list[dict[str, Any]] = []
    for key, value in document.items():
        if value in ("", None, [], {}):
            continue
        shown = f"{value} ({_age(document)} ago)" if key == "since" else _maps(document) if key == "maps" else value
        if isinstance(shown, dict):
            shown = ", ".join(f"{name}={_word(item)}" for name, item in shown.items())
        lines.append({"key": f"{key}:", "value": str(shown)})
    return columns(lines, (Column("", lambda d: d["key"]), Column("", lambda d: d["value"])), head=False)


def _word(value: Any) -> str:
    """A value as `--config` takes it: text as it is, the rest as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


async def _watch(agent: Agent, form: Format, *, name: str = "", match: Any = None, kind: Any = None) -> None:
    """Print the present state and every change: rows in tables, one event a line in JSON."""
    first = True
    async for event in agent.watch(name, metadata=match):
        if event.type is WatchType.SYNCED or (kind is not None and event.status and event.status.spec.type is not kind):
            continue
        _print_event(event, form, head=first)
        first = False


def _print_event(event: WatchEvent, form: Format, *, head: bool) -> None:
    assert event.status is not None
    document = shapes.program(event.status)
    if form in {"table", "wide"}:
        if event.type is WatchType.DELETED:
            document |= {"state": "Unloaded", "reason": "", "message": ""}
        click.echo(columns([document], _WATCHED, wide=form == "wide", head=head), nl=False)
    elif form == "name":
        click.echo(document["name"])
    elif form == "json":
        click.echo(json_text({"type": event.type.value, "object": document}))
    else:
        click.echo("---")
        write({"type": event.type.value, "object": document}, form)


def _fixed(column: Column, width: int) -> Column:
    return Column(column.head.ljust(width), lambda d: column.cell(d).ljust(width), wide=column.wide, style=column.style)


_WATCHED: Table = tuple(
    _fixed(column, {"NAME": 24, "TYPE": 7, "STATE": 13, "REASON": 20, "RESTARTS": 8, "AGE": 5}.get(column.head, 10))
    for column in PROGRAMS
)
