"""`conductor pull REF`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from conductor.cli.pulling import credentials_options, shown_pulls
from conductor.cli.session import with_agent
from conductor.model.kernel import PullPolicy

if TYPE_CHECKING:
    from conductor.client import Agent

__all__ = ["pull"]


@click.command(epilog="\b\nExample:\n  conductor pull registry.example/tools/counter:v1")
@click.argument("reference", metavar="REF")
@click.option(
    "--pull-policy",
    type=click.Choice([policy.value for policy in PullPolicy]),
    default=PullPolicy.ALWAYS.value,
    show_default=True,
    help="When to ask the registry.",
)
@credentials_options
@with_agent()
async def pull(agent: Agent, *, reference: str, pull_policy: str, credentials: tuple[str, str] | None) -> None:
    """Fetch and verify an image before it is needed."""
    async with shown_pulls(agent):
        await agent.pull(reference, pull_policy=PullPolicy(pull_policy), credentials=credentials)
    click.echo(f"{reference} pulled")
