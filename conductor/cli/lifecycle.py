"""`conductor unload|start|stop|restart NAME...`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

import click

from conductor.cli import shapes
from conductor.cli.load import outcome
from conductor.cli.output import Format, note, output_option, show
from conductor.cli.programs import PROGRAMS
from conductor.cli.session import ProgramName, with_agent
from conductor.errors import AgentUnreachable, ConductorError
from conductor.model.status import ProgramStatus

if TYPE_CHECKING:
    from conductor.client import Agent

__all__ = ["restart", "start", "stop", "unload"]

_NAMES = click.argument("names", metavar="NAME...", nargs=-1, required=True, type=ProgramName())


@click.command(
    epilog="\b\nExamples:\n  conductor unload service_map\n  conductor unload $(conductor list -l team=net -o name)"
)
@_NAMES
@with_agent()
async def unload(agent: Agent, *, names: Sequence[str]) -> int:
    """Remove programs that were loaded by hand, with the kernel halves that only they brought along.

    What a manifest asked for goes by `delete -f`, what the cluster asked for by kubectl.
    """

    async def one(name: str) -> None:
        await agent.unload(name)
        click.echo(f"{name} unloaded")

    return await _each(names, one)


@click.command()
@_NAMES
@output_option
@with_agent()
async def start(agent: Agent, *, names: Sequence[str], form: Format) -> int:
    """Start stopped programs."""
    return await _shown(names, agent.start, form)


@click.command()
@_NAMES
@output_option
@with_agent()
async def stop(agent: Agent, *, names: Sequence[str], form: Format) -> int:
    """Stop programs and keep them listed; `start` brings them back."""
    return await _shown(names, agent.stop, form)


@click.command()
@_NAMES
@output_option
@with_agent()
async def restart(agent: Agent, *, names: Sequence[str], form: Format) -> int:
    """Stop and start programs; their kernel halves stay attached."""
    return await _shown(names, agent.restart, form)


async def _shown(names: Sequence[str], call: Callable[[str], Awaitable[ProgramStatus]], form: Format) -> int:
    statuses = []

    async def one(name: str) -> None:
        statuses.append(await call(name))

    code = await _each(names, one)
    if statuses:
        show([shapes.program(status) for status in statuses], PROGRAMS, form)
    return max(code, *(outcome(status) for status in statuses), 0)


async def _each(names: Sequence[str], call: Callable[[str], Awaitable[None]]) -> int:
    """Do it for every name; one that is refused does not stop the others, but counts."""
    code = 0
    for name in names:
        try:
            await call(name)
        except AgentUnreachable:
            raise
        except ConductorError as exc:
            note(f"conductor: {exc}")
            code = 1
    return code
