"""`conductor update NAME`: the program as it is, with the given changes."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from conductor.cli.load import WishOptions, report, wasm_source, wish_options
from conductor.cli.output import Format, output_option
from conductor.cli.session import ProgramName, with_agent
from conductor.errors import InvalidSpec
from conductor.model.kernel import PullPolicy
from conductor.model.manifest_limits import limits_spec_of, parse_limits
from conductor.model.program import ProgramType, UserProgramSpec

if TYPE_CHECKING:
    from conductor.client import Agent

__all__ = ["changed", "update"]


@click.command(
    epilog="\b\nExamples:\n  conductor update service_map --config interval=2\n"
    "  conductor update counter --wasm ./counter-v2.wasm\n  conductor update service_map --unset external"
)
@click.argument("name", type=ProgramName())
@click.option("--wasm", "module", metavar="FILE|REF", help="Another module for a wasm program.")
@click.option("--unset", metavar="K", multiple=True, help="Take a setting away, back to its default.")
@click.option("--recreate", is_flag=True, help="End the old one first instead of letting both overlap.")
@click.option("--no-rollback", is_flag=True, help="Do not return to the old one when the new one fails.")
@output_option
@wish_options
@with_agent()
async def update(
    agent: Agent,
    *,
    name: str,
    module: str | None,
    unset: Sequence[str],
    recreate: bool,
    no_rollback: bool,
    wish: WishOptions,
    timeout: float,
    form: Format,
) -> int:
    """Change a running program: what is not given stays as it is.

    The new one starts beside the old one and takes over once it is proven; counters go on; a new one that fails is
    taken back.
    """
    spec = changed((await agent.get(name)).spec, wish, unset)
    if module:
        if spec.type is not ProgramType.WASM:
            raise InvalidSpec("--wasm", f"{name} is a built-in")
        spec = dataclasses.replace(spec, source=await wasm_source(agent, module, PullPolicy.IF_NOT_PRESENT))
    return report(await agent.update(spec, overlap=not recreate, rollback=not no_rollback, timeout=timeout), form)


def changed(spec: UserProgramSpec, wish: WishOptions, unset: Sequence[str]) -> UserProgramSpec:
    """The spec with a wish laid over it: settings, grants, labels and limits that are not named stay."""
    config = {key: value for key, value in (*spec.config.items(), *wish["config"].items()) if key not in unset}
    maps = {grant.name: grant for grant in (*spec.maps, *wish["maps"])}
    limits = {key: str(value) for key, value in limits_spec_of(spec.limits).items()} | wish["limits"]
    return dataclasses.replace(
        spec,
        config=config,
        maps=tuple(maps.values()),
        metadata={**spec.metadata, **wish["metadata"]},
        limits=parse_limits(limits),
    )
