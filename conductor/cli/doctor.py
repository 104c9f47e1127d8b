"""`conductor doctor`: what this machine can run and what is missing."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from conductor.cli import checks
from conductor.cli.checks import Answer, Finding
from conductor.cli.cluster_checks import cluster
from conductor.cli.image_checks import images
from conductor.cli.output import Column, coloured, columns, note, write
from conductor.cli.settings import AGENT, settings
from conductor.config import Config
from conductor.errors import ConductorError
from conductor.model.agent import AgentInfo

__all__ = ["doctor"]

_COLOURS: dict[str, str] = {Answer.YES: "green", Answer.NO: "red", Answer.UNKNOWN: "yellow"}
_TABLE = (
    Column("", lambda d: d["area"]),
    Column("", lambda d: d["name"]),
    Column("", lambda d: d["answer"], style=lambda cell: coloured(cell, _COLOURS.get(cell.strip()))),
    Column("", lambda d: d["detail"]),
)


@click.command(epilog="\b\nExamples:\n  sudo conductor doctor\n  sudo conductor doctor --bundle report.tar.gz")
@settings(AGENT)
@click.option(
    "--bundle",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write an archive for a bug report, secrets taken out.",
)
@click.option(
    "-o", "--output", "form", type=click.Choice(["table", "json", "yaml"]), default="table", help="Form of output."
)
def doctor(config: Config, *, bundle: Path | None, form: Any) -> int:
    """Say, line by line, what this machine can run and what is missing.

    Three answers: yes, no (with what would help), could not tell (with why). Leaves with 1 only if the agent could not
    start.
    """
    findings = examined(config)
    documents = [{"area": f.area, "name": f.name, "answer": f.answer.value, "detail": f.detail} for f in findings]
    can_start = not any(finding.fatal for finding in findings)
    if form == "table":
        click.echo(columns(documents, _TABLE, head=False), nl=False)
    else:
        write({"items": documents, "canStart": can_start}, form)
    if bundle:
        from conductor.cli.bundle import pack  # noqa: PLC0415 - only for those who report

        asyncio.run(pack(bundle, config, {"items": documents, "canStart": can_start}))
        note(f"Wrote {bundle}; look through it before you send it.")
    if not can_start:
        note("conductor: the agent could not start here; the lines above say what would help")
    return 0 if can_start else 1


def examined(config: Config) -> Sequence[Finding]:
    """Every finding, in the order in which a person reads them."""
    info = asyncio.run(_agent(config.agent_socket))
    return [
        *checks.kernel(),
        *checks.road(config, info),
        *checks.files(config, agent_runs=info is not None),
        *images(config),
        *cluster(config),
    ]


async def _agent(path: Path) -> AgentInfo | None:
    from conductor.client import Agent  # noqa: PLC0415 - grpclib is slow to import

    try:
        async with asyncio.timeout(5), Agent.connect(path) as agent:
            return await agent.info()
    except (ConductorError, TimeoutError):
        return None
