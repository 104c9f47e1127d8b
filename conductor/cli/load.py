"""`conductor load builtin|wasm`: one user program, asked for by hand."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from conductor.cli import assignments, shapes
from conductor.cli.output import Format, note, output_option
from conductor.cli.programs import show_program
from conductor.cli.pulling import credentials_options, shown_pulls
from conductor.cli.session import seconds, with_agent
from conductor.errors import ObjectUnreadable
from conductor.model.ids import parse_name
from conductor.model.kernel import PullPolicy
from conductor.model.status import ProgramStatus, State

if TYPE_CHECKING:
    from conductor.client import Agent, Wish

__all__ = ["load", "module_of", "outcome", "report", "wish_options"]

_OPTIONS = (
    click.option(
        "--config", "config", metavar="K=V", multiple=True, help="A setting of the program; V is JSON or text."
    ),
    click.option(
        "--map",
        "maps",
        metavar="NAME=KERNELPROGRAM[/MAP][:consume|:rw]",
        multiple=True,
        help="Grant a map of a kernel program; read-only unless said otherwise.",
    ),
    click.option("--metadata", metavar="K=V", multiple=True, help="A label, for `list -l`."),
    click.option("--limit", "limits", metavar="K=V", multiple=True, help="A limit: memory, cpu, series, …"),
    click.option(
        "--timeout", default="30s", show_default=True, callback=seconds, help="How long to wait for an outcome."
    ),
)


def wish_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options that describe a user program, gathered as `wish`."""

    @functools.wraps(command)
    def gathered(**given: Any) -> Any:
        wish = {
            "config": assignments.config(given.pop("config")),
            "maps": assignments.grants(given.pop("maps")),
            "metadata": assignments.pairs(given.pop("metadata"), "--metadata"),
            "limits": assignments.pairs(given.pop("limits"), "--limit"),
        }
        return command(wish=wish, **given)

    decorated: Callable[..., Any] = gathered
    for option in reversed(_OPTIONS):
        decorated = option(decorated)
    return decorated


@click.group()
def load() -> None:
    """Load a user program. It is kept until `unload`, over restarts of the agent too."""


@load.command(
    epilog="\b\nExamples:\n  conductor load builtin service_map --config interval=2\n"
    "  conductor load builtin host_pressure --name pressure --metadata team=infra"
)
@click.argument("builtin")
@click.option("--name", help="Name of the program; default: the built-in's.")
@output_option
@wish_options
@with_agent()
async def builtin(agent: Agent, *, builtin: str, name: str | None, wish: Wish, timeout: float, form: Format) -> int:
    """Load a program that comes with the agent (`conductor list --available`)."""
    wish["builtin"] = builtin
    return report(await agent.load(name or builtin, timeout=timeout, **wish), form)


@load.command(
    epilog="\b\nExamples:\n  conductor load wasm ./counter.wasm --map counts=syscalls\n"
    "  conductor load wasm registry.example/tools/counter:v1 --map events=execs:consume"
)
@click.argument("module", metavar="FILE|REF")
@click.option("--name", help="Name of the program; default: the file's or the image's.")
@click.option(
    "--pull-policy",
    type=click.Choice([policy.value for policy in PullPolicy]),
    default=PullPolicy.IF_NOT_PRESENT.value,
    show_default=True,
    help="When to ask the registry.",
)
@output_option
@credentials_options
@wish_options
@with_agent()
async def wasm(
    agent: Agent,
    *,
    module: str,
    name: str | None,
    pull_policy: str,
    credentials: tuple[str, str] | None,
    wish: Wish,
    timeout: float,
    form: Format,
) -> int:
    """Load a WebAssembly module from a file (sent to the agent) or from an image."""
    stem = module.rstrip("/").rsplit("/", 1)[-1].partition("@")[0].partition(":")[0].removesuffix(".wasm")
    chosen = parse_name(name or stem.lower(), "--name")
    wish["wasm"], wish["pull_policy"] = module_of(module), PullPolicy(pull_policy)
    if credentials is not None:
        wish["credentials"] = credentials
    async with shown_pulls(agent):
        status = await agent.load(chosen, timeout=timeout, **wish)
    return report(status, form)


def module_of(module: str) -> Path | str:
    """A local file, which the client sends to the agent, or the reference of an image. Raises `ObjectUnreadable`."""
    path = Path(module)
    if not (path.exists() or module.startswith(("/", "./", "../")) or module.endswith(".wasm")):
        return module
    if not path.is_file():
        raise ObjectUnreadable(f"{module}: no such file")
    return path


def report(status: ProgramStatus, form: Format) -> int:
    """Print what became of a program; 1 where it failed."""
    show_program(shapes.program(status), form)
    return outcome(status)


def outcome(status: ProgramStatus) -> int:
    """Say on standard error what became of a program, where there is something to say; answer 1 where it failed."""
    condition = status.condition
    if condition.state in (State.FAILED, State.QUARANTINED):
        note(f"conductor: {status.spec.name} failed: {condition.message or condition.reason}")
        return 1
    if condition.state is State.RUNNING and condition.message and not condition.reason:
        note(f"conductor: {status.spec.name}: {condition.message}")
    if condition.state is State.WAITING:
        note(f"conductor: {status.spec.name} waits: {condition.message or condition.reason}")
    return 0
