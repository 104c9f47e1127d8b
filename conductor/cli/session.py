"""What client commands share: the agent's socket, the connection, and names completed from a living agent."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem
from typing_extensions import override

from conductor.cli.settings import read
from conductor.config import values
from conductor.errors import ConductorError

__all__ = ["ProgramName", "agent_socket", "seconds", "with_agent"]

Command = Callable[..., Any]


def agent_socket(given: str | None) -> Path:
    """The agent's socket by flag, environment, file or default."""
    return read({"agent_socket": given}).agent_socket


def with_agent(*, streams: bool | str = False) -> Callable[[Callable[..., Awaitable[Any]]], Command]:
    """Run a coroutine as a command, with `agent` connected; Ctrl-C is how one that streams is meant to end.

    `streams` may name the option that makes it stream.
    """

    def decorate(function: Callable[..., Awaitable[Any]]) -> Command:
        @functools.wraps(function)
        def run(*, agent_socket: str | None, **given: Any) -> Any:
            socket = read({"agent_socket": agent_socket}).agent_socket
            try:
                return asyncio.run(_connected(function, socket, given))
            except KeyboardInterrupt:
                if streams is True or (streams and given[streams]):
                    return 0
                raise

        return click.option(
            "--agent-socket",
            metavar="PATH",
            help="Socket of the agent. [/run/ebpfconductor/agent.sock; CONDUCTOR_AGENT_SOCKET]",
        )(run)

    return decorate


async def _connected(function: Callable[..., Awaitable[Any]], socket: Path, given: dict[str, Any]) -> Any:
    from conductor.client import Agent  # noqa: PLC0415 - grpclib is slow to import, and `--help` needs none

    async with Agent.connect(socket) as agent:
        return await function(agent, **given)


class ProgramName(click.ParamType[str]):
    """A program's name, completed from what the agent lists."""

    name = "name"

    @override
    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Ask the agent, briefly; no answer completes nothing."""
        try:
            names = asyncio.run(_names(agent_socket(ctx.params.get("agent_socket"))))
        except (ConductorError, OSError, TimeoutError):
            return []
        return [CompletionItem(name) for name in names if name.startswith(incomplete)]


async def _names(socket: Path) -> list[str]:
    from conductor.client import Agent  # noqa: PLC0415 - as above

    async with asyncio.timeout(1), Agent.connect(socket) as agent:
        return [status.spec.name for status in await agent.list()]


def seconds(ctx: click.Context, param: click.Parameter, value: str) -> float:  # noqa: ARG001 - click's callback
    """Read a duration of the command line: 30s, 2m, 500ms."""
    try:
        return values.seconds(value)
    except ValueError as exc:
        raise click.BadParameter(str(exc)) from exc
