"""What `conductor up` shows on a terminal once the agent is ready. A process of its own: the keeper parses nothing."""

from __future__ import annotations

import asyncio
import sys
import time
from typing import TYPE_CHECKING

import click

from conductor.cli import shapes
from conductor.cli.agent import become_agent
from conductor.cli.output import columns
from conductor.cli.programs import PROGRAMS
from conductor.cli.settings import AGENT, child_flags, settings
from conductor.config import Config
from conductor.errors import ConductorError

if TYPE_CHECKING:
    from conductor.client import Agent
    from conductor.model.agent import AgentInfo

__all__ = ["greet"]

_SETTLING = 15.0


@click.command(hidden=True)
@settings(AGENT)
@click.option("--lock-fd", type=int, hidden=True)
def greet(config: Config, *, lock_fd: int | None) -> None:  # noqa: ARG001 - all that are begun again are told
    """Say what runs and where the metrics are, once the agent is ready."""
    become_agent(config, ("greet", *child_flags(config, AGENT)), with_view=True)
    try:
        click.echo(asyncio.run(_summary(config)), nl=False, file=sys.stderr)
    except ConductorError as exc:
        click.echo(f"conductor up: {exc}", err=True)


async def _summary(config: Config) -> str:
    from conductor.client import Agent  # noqa: PLC0415 - only once the rights are gone

    async with Agent.connect(config.agent_socket) as agent:
        info = await _settled(agent)
        programs = [shapes.program(status) for status in sorted(await agent.list(), key=lambda s: s.spec.name)]
    none = "No programs yet: conductor load builtin service_map (conductor list --available shows others)\n"
    table = columns(programs, PROGRAMS) if programs else none
    road = " ".join(filter(None, (info.flavour, info.road_version))) or f"no kernel daemon ({info.road_problem})"
    notes = "".join(f"  {reason}\n" for reason in info.reasons)
    return f"\n{table}\nnode     {info.node}, {road}\nmetrics  {_address(info)}\n{notes}Ctrl-C ends.\n\n"


async def _settled(agent: Agent) -> AgentInfo:
    """Wait until every stored wish was tried, or for a while."""
    deadline = time.monotonic() + _SETTLING
    info = await agent.info()
    while not info.ready and time.monotonic() < deadline:
        await asyncio.sleep(0.2)
        info = await agent.info()
    return info


def _address(info: AgentInfo) -> str:
    host, _, port = info.http_address.rpartition(":")
    return f"http://{host or 'localhost'}:{port}/metrics"
