"""What commands that talk to registries themselves share: settings, credentials, bars."""

from __future__ import annotations

import asyncio
import functools
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from conductor.cli.settings import read
from conductor.config import Config
from conductor.model.image import Credentials
from conductor.oci.registries import RegistriesConfig

if TYPE_CHECKING:
    from conductor.oci.client import RegistryClient

__all__ = ["Bars", "Door", "bars", "credentials_of", "with_registry"]

Command = Callable[..., Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """A registry client and what it is shown."""

    client: RegistryClient
    config: Config
    credentials: Credentials | None = field(default=None, repr=False)


def with_registry(function: Callable[..., Awaitable[Any]]) -> Command:
    """Run a coroutine as a command with `door`; its registries, their mirrors and credentials as the agent has them."""

    @functools.wraps(function)
    def run(*, registries: str | None, username: str | None, password_stdin: bool, **given: Any) -> Any:
        credentials = credentials_of(username, password_stdin=password_stdin)
        config = read({"registries": registries})
        return asyncio.run(_opened(function, config, credentials, given))

    options: tuple[Any, ...] = (
        click.option("--password-stdin", is_flag=True, help="Read the password from standard input."),
        click.option(
            "--username", metavar="NAME", help="Name at the registry; default: who docker or podman is logged in as."
        ),
        click.option("--registries", metavar="FILE", help="Mirrors, CAs and plain-http hosts. [CONDUCTOR_REGISTRIES]"),
    )
    command: Command = run
    for option in options:
        command = option(command)
    return command


def credentials_of(username: str | None, *, password_stdin: bool) -> Credentials | None:
    """Read a password for a name. Raises `click.UsageError` where only one is given."""
    if bool(username) != password_stdin:
        raise click.UsageError("--username and --password-stdin go together")
    if not username:
        return None
    return Credentials(username, sys.stdin.readline().rstrip("\r\n"))


async def _opened(
    function: Callable[..., Awaitable[Any]], config: Config, credentials: Credentials | None, given: dict[str, Any]
) -> Any:
    async with _client(config) as client:
        return await function(Door(client=client, config=config, credentials=credentials), **given)


@asynccontextmanager
async def _client(config: Config) -> AsyncIterator[RegistryClient]:
    from conductor.oci.client import RegistryClient  # noqa: PLC0415 - aiohttp is slow to import, and --help needs none

    registries = RegistriesConfig.read(config.images.registries, environ=os.environ)
    if registries.auth is None:
        registries = replace(registries, auth=_login(os.environ))
    async with RegistryClient.opened(registries=registries) as client:
        yield client


def _login(environ: Mapping[str, str]) -> Path | None:
    """Find where `docker login` or `podman login` of whoever asks wrote; None where nobody logged in."""
    home = Path(environ.get("HOME") or "/nonexistent")
    told = [Path(environ["REGISTRY_AUTH_FILE"])] if environ.get("REGISTRY_AUTH_FILE") else []
    podman = Path(environ.get("XDG_RUNTIME_DIR") or home / ".config") / "containers/auth.json"
    docker = Path(environ.get("DOCKER_CONFIG") or home / ".docker") / "config.json"
    return next((path for path in (*told, podman, docker) if path.is_file()), None)


class Bars:
    """Bars of bytes by what they are of; on a terminal they move, elsewhere nothing is shown."""

    def __init__(self, live: Any = None) -> None:
        self._live = live
        self._tasks: dict[str, Any] = {}

    def tell(self, what: str, done: int, total: int) -> None:
        """Move a bar, made when it is told of first; a total of 0 is not known yet."""
        if self._live is None:
            return
        if what not in self._tasks:
            self._tasks[what] = self._live.add_task(what, total=None)
        self._live.update(self._tasks[what], completed=done, total=total or None)


@contextmanager
def bars() -> Iterator[Bars]:
    """Show bars on standard error while the body runs."""
    if not sys.stderr.isatty():
        yield Bars()
        return
    from rich.console import Console  # noqa: PLC0415 - only for those who see it
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn  # noqa: PLC0415

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as live:
        yield Bars(live)
