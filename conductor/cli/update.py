"""`conductor update NAME`: the program as it is, with the given changes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, assert_never

import click

from conductor.cli.load import module_of, report, wish_options
from conductor.cli.output import Format, output_option
from conductor.cli.pulling import credentials_options, shown_pulls
from conductor.cli.session import ProgramName, with_agent
from conductor.errors import InvalidSpec
from conductor.model.kernel import ImageObject, PathObject, PullPolicy
from conductor.model.manifest_limits import limits_spec_of
from conductor.model.program import BuiltinSource, ProgramType, UserProgramSpec, WasmSource

if TYPE_CHECKING:
    from conductor.client import Agent, Wish

__all__ = ["changed", "update"]


@click.command(
    epilog="\b\nExamples:\n  conductor update service_map --config interval=2\n"
    "  conductor update counter --wasm ./counter-v2.wasm\n  conductor update service_map --unset external\n"
    "  conductor update counter --pull-policy Always"
)
@click.argument("name", type=ProgramName())
@click.option("--wasm", "module", metavar="FILE|REF", help="Another module for a wasm program.")
@click.option("--unset", metavar="K", multiple=True, help="Take a setting away, back to its default.")
@click.option(
    "--pull-policy",
    type=click.Choice([policy.value for policy in PullPolicy]),
    help="When to ask the registry, now and at later updates; Always takes what the tag names now.",
)
@click.option("--recreate", is_flag=True, help="End the old one first instead of letting both overlap.")
@click.option("--no-rollback", is_flag=True, help="Do not return to the old one when the new one fails.")
@output_option
@credentials_options
@wish_options
@with_agent()
async def update(
    agent: Agent,
    *,
    name: str,
    module: str | None,
    unset: Sequence[str],
    pull_policy: str | None,
    credentials: tuple[str, str] | None,
    recreate: bool,
    no_rollback: bool,
    wish: Wish,
    timeout: float,
    form: Format,
) -> int:
    """Change a running program: what is not given stays as it is.

    The new one starts beside the old one and takes over once it is proven; counters go on; a new one that fails is
    taken back.
    """
    status = await agent.get(name)
    whole = changed(status.spec, wish, unset)
    if module and status.spec.type is not ProgramType.WASM:
        raise InvalidSpec("--wasm", f"{name} is a built-in")
    if module:
        _another(whole, module)
    if pull_policy:
        if "pull_policy" not in whole:
            raise InvalidSpec("--pull-policy", f"{name} comes from no image")
        whole["pull_policy"] = PullPolicy(pull_policy)
    if credentials is not None:
        whole["credentials"] = credentials
    async with shown_pulls(agent):
        answer = await agent.update(name, overlap=not recreate, rollback=not no_rollback, timeout=timeout, **whole)
    return report(answer, form)


def _another(whole: Wish, module: str) -> None:
    whole["wasm"] = module_of(module)
    policy = whole.pop("pull_policy", PullPolicy.IF_NOT_PRESENT)
    if isinstance(whole["wasm"], str):
        whole["pull_policy"] = policy


def changed(spec: UserProgramSpec, wish: Wish, unset: Sequence[str]) -> Wish:
    """The whole wish for a program with another laid over it: what is not named stays."""
    config = {key: value for key, value in {**spec.config, **wish["config"]}.items() if key not in unset}
    maps = {grant.name: grant for grant in (*spec.maps, *wish["maps"])}
    limits = {key: str(value) for key, value in limits_spec_of(spec.limits).items()} | dict(wish["limits"])
    metadata = {**spec.metadata, **wish["metadata"]}
    whole: Wish = {"config": config, "maps": tuple(maps.values()), "limits": limits, "metadata": metadata}
    match spec.source:
        case BuiltinSource(name=stem):
            whole["builtin"] = stem
        case WasmSource(location=location):
            whole["wasm"] = location.digest if isinstance(location, PathObject) else location.url
            if isinstance(location, ImageObject):
                whole["pull_policy"] = location.pull_policy
        case _:
            assert_never(spec.source)
    return whole
