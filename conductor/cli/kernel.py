"""`conductor kernel list|get|log`: kernel programs, whoever asked for them."""

from __future__ import annotations

import time
from datetime import datetime
from typing import TYPE_CHECKING

import click

from conductor.cli import shapes
from conductor.cli.output import (
    Column,
    Document,
    Format,
    Table,
    columns,
    output_option,
    plain,
    show,
    state_style,
    write,
)
from conductor.cli.session import with_agent

if TYPE_CHECKING:
    from conductor.client import Agent

__all__ = ["kernel"]


def _age(document: Document) -> str:
    since = document["since"]
    return shapes.age(datetime.fromisoformat(since).timestamp(), time.time()) if since else ""


def _links(document: Document) -> str:
    return ",".join(
        link["attach"] or str(link["id"]) for function in document["functions"] for link in function["links"]
    )


KERNEL: Table = (
    Column("NAME", lambda d: d["name"]),
    Column("STATE", lambda d: d["state"], style=state_style),
    Column("REASON", lambda d: d["reason"]),
    Column("PROGRAMS", lambda d: ",".join(f"{f['name']}({f['id']})" for f in d["functions"])),
    Column("NEEDED BY", lambda d: ",".join(d["neededBy"])),
    Column("AGE", _age),
    Column("SOURCE", lambda d: d["source"], wide=True),
    Column("LINKS", _links, wide=True),
    Column("FROM", lambda d: d["bytecode"], wide=True),
    Column("MESSAGE", lambda d: d["message"], wide=True),
)
FUNCTIONS: Table = (
    Column("FUNCTION", lambda d: d["name"]),
    Column("TYPE", lambda d: d["type"]),
    Column("ID", lambda d: str(d["id"])),
    Column("TAG", lambda d: d["tag"]),
    Column("MAPS", lambda d: ",".join(map(str, d["mapIds"]))),
    Column("RUNS", lambda d: "unknown" if d["runs"] is None else str(d["runs"])),
    Column("RUN TIME", lambda d: "unknown" if d["runSeconds"] is None else f"{d['runSeconds']:.6f}s"),
    Column("LINKS", lambda d: ",".join(link["attach"] or str(link["id"]) for link in d["links"])),
)


@click.group()
def kernel() -> None:
    """Look at kernel programs: those that manifests ask for, and those that user programs brought along."""


@kernel.command("list", epilog="\b\nExample:\n  conductor kernel list -o wide")
@output_option
@with_agent()
async def list_(agent: Agent, *, form: Format) -> None:
    """List kernel programs with their ids in the kernel."""
    found = sorted(await agent.list_kernel(), key=lambda info: info.name)
    show([shapes.kernel(info) for info in found], KERNEL, form, empty="No kernel programs.")


@kernel.command()
@click.argument("name")
@output_option
@with_agent()
async def get(agent: Agent, *, name: str, form: Format) -> None:
    """Show one kernel program: its functions, links, maps and run time."""
    document = shapes.kernel(await agent.get_kernel(name))
    if form in {"json", "yaml"}:
        write(document, form)
    elif form == "name":
        click.echo(document["name"])
    else:
        click.echo(columns([document], KERNEL, wide=True), nl=False)
        click.echo()
        click.echo(columns(document["functions"], FUNCTIONS), nl=False)


@kernel.command()
@click.argument("name")
@with_agent()
async def log(agent: Agent, *, name: str) -> None:
    """Show what the verifier said when it last refused this kernel program."""
    for line in await agent.kernel_log(name):
        click.echo(plain(line))
