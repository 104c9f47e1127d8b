"""Bars for what the agent pulls meanwhile, and the credentials that it may need for that."""

from __future__ import annotations

import asyncio
import functools
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import click

from conductor.cli.image_registry import bars, credentials_of
from conductor.errors import ConductorError
from conductor.model.agent import WatchType

if TYPE_CHECKING:
    from conductor.cli.image_registry import Bars
    from conductor.client import Agent

__all__ = ["credentials_options", "shown_pulls"]

Command = Callable[..., Any]


def credentials_options(command: Command) -> Command:
    """Give a command `--username` and `--password-stdin`, gathered as `credentials`."""

    @functools.wraps(command)
    def run(*, username: str | None, password_stdin: bool, **given: Any) -> Any:
        found = credentials_of(username, password_stdin=password_stdin)
        return command(credentials=(found.username, found.password) if found else None, **given)

    options: tuple[Any, ...] = (
        click.option("--password-stdin", is_flag=True, help="Read the registry's password from standard input."),
        click.option("--username", metavar="NAME", help="Name at the registry; sent to the agent, kept by nobody."),
    )
    wrapped: Command = run
    for option in options:
        wrapped = option(wrapped)
    return wrapped


@asynccontextmanager
async def shown_pulls(agent: Agent) -> AsyncIterator[None]:
    """Show on a terminal what the agent pulls while the body runs."""
    if not sys.stderr.isatty():
        yield
        return
    with bars() as shown:
        failure: Exception | None = None
        async with asyncio.TaskGroup() as group:
            following = group.create_task(_follow(agent, shown), name="pulls")
            try:
                yield
            except Exception as exc:  # noqa: BLE001 - raised below: the group would wrap it
                failure = exc
            finally:
                following.cancel()
        if failure is not None:
            raise failure


async def _follow(agent: Agent, shown: Bars) -> None:
    with suppress(ConductorError):  # what is shown is no part of what was asked for
        async with aclosing(agent.watch(pulls=True)) as events:
            async for event in events:
                if event.type is WatchType.PULLING and event.progress is not None:
                    told = event.progress
                    shown.tell(f"{told.reference} {told.phase.value}", told.done, told.total)
