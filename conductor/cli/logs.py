"""`conductor logs NAME`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from conductor.cli import shapes
from conductor.cli.output import json_text, plain
from conductor.cli.session import ProgramName, with_agent
from conductor.model.agent import LogLine

if TYPE_CHECKING:
    from conductor.client import Agent

__all__ = ["logs"]


@click.command(epilog="\b\nExamples:\n  conductor logs service_map\n  conductor logs -f --tail 10 counter")
@click.argument("name", type=ProgramName())
@click.option("-f", "--follow", is_flag=True, help="Go on with every new line, until Ctrl-C.")
@click.option("--tail", type=click.IntRange(min=0), default=0, help="Only the last N lines; 0: all that are kept.")
@click.option("-o", "--output", "form", type=click.Choice(["text", "json"]), default="text", help="Form of a line.")
@with_agent(streams="follow")
async def logs(agent: Agent, *, name: str, follow: bool, tail: int, form: str) -> None:
    """Show the log of a program: what it said, and what the agent says of it."""
    async for line in agent.logs(name, follow=follow, tail=tail):
        click.echo(json_text(shapes.log_line(line)) if form == "json" else _text(line))


def _text(line: LogLine) -> str:
    return f"{shapes.timestamp(line.time)} {line.level.upper():7} {plain(line.message)}"
