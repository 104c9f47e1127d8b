"""`conductor version`."""

from __future__ import annotations

import asyncio
import platform
from pathlib import Path
from typing import Any

import click

from conductor import __version__
from conductor.cli import shapes
from conductor.cli.output import Format, write
from conductor.cli.session import agent_socket
from conductor.errors import ConductorError

__all__ = ["version"]


@click.command()
@click.option("--client", is_flag=True, help="Do not ask the agent.")
@click.option(
    "-o", "--output", "form", type=click.Choice(["table", "json", "yaml"]), default="table", help="Form of output."
)
@click.option("--agent-socket", "socket", metavar="PATH", help="Socket of the agent.")
def version(*, client: bool, form: Format, socket: str | None) -> None:
    """Show the versions of this program and, where one answers, of the agent and what loads for it."""
    document: dict[str, Any] = {"client": {"version": __version__, "python": platform.python_version()}}
    if not client:
        document["agent"] = asyncio.run(_agent(agent_socket(socket)))
    if form != "table":
        write(document, form)
        return
    click.echo(f"conductor {__version__} (Python {platform.python_version()})")
    if not client:
        click.echo(f"agent     {_words(document['agent'])}")


async def _agent(socket: Path) -> dict[str, Any] | None:
    from conductor.client import Agent  # noqa: PLC0415 - not for `--client`

    try:
        async with asyncio.timeout(5), Agent.connect(socket) as agent:
            return dict(shapes.information(await agent.info()))
    except (ConductorError, TimeoutError):
        return None


def _words(agent: dict[str, Any] | None) -> str:
    if agent is None:
        return "not reachable"
    road = " ".join(filter(None, (agent["flavour"], agent["roadVersion"]))) or "no kernel daemon"
    return f"{agent['version']} on {agent['node']}, {road}"
