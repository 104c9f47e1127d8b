"""`conductor up`: the keeper, told what to start."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import click

from conductor.cli.agent import command_of
from conductor.cli.settings import AGENT, KEEPER, LOADER, child_flags, settings
from conductor.config import Config
from conductor.errors import AddressInUse, NotAllowed, StateUnwritable
from conductor.keeper import Errand, Job, keep
from conductor.locks import hold
from conductor.privilege import identity_of, shared_folder

__all__ = ["up"]


@click.command(
    epilog="\b\nExamples:\n  sudo conductor up\n  sudo conductor up --apply manifests.yaml --http-address :9090"
)
@settings(KEEPER)
def up(config: Config) -> None:
    """Run loader and agent on this machine and keep them running until Ctrl-C.

    For machines without kubelet or systemd. Both are started again when they end. On Ctrl-C the agent ends, then the
    loader, and what was loaded is unloaded (--keep leaves it attached).
    """
    if config.keeper.with_loader and os.geteuid() != 0:
        raise NotAllowed("loading eBPF needs root: sudo conductor up (or go without kernel programs: --kernel none)")
    identity = identity_of(config.identity)
    folder = config.keeper.state_dir
    _own(folder)
    try:
        hold(folder / "keeper.lock")
    except AddressInUse as exc:
        raise AddressInUse(f"another `conductor up` keeps this machine already: {exc}") from exc
    shared_folder(config.agent_socket.parent, identity)
    asyncio.run(keep(jobs=_jobs(config), tell=_tell, once_ready=_greeting(config), at_end=_unloading(config)))


def _jobs(config: Config) -> tuple[Job, ...]:
    folder = config.keeper.state_dir
    agent = _job("agent", AGENT, config, config.agent_socket, folder / "agent.lock", "--own-view")
    if not config.keeper.with_loader:
        return (agent,)
    return _job("loader", LOADER, config, config.loader_socket, folder / "loader.lock"), agent


def _job(name: str, takes: tuple[str, ...], config: Config, socket: Path, lock: Path, *more: str) -> Job:
    command, environment = command_of((name, *child_flags(config, takes), "--lock", str(lock), *more))
    return Job(name=name, command=command, environment=environment, socket=socket, lock=lock)


def _greeting(config: Config) -> Errand | None:
    if not sys.stderr.isatty():
        return None
    command, environment = command_of(("greet", *child_flags(config, AGENT)))
    return Errand(name="greeting", command=command, environment=environment, within=30)


def _unloading(config: Config) -> Errand | None:
    if config.keep or not config.keeper.with_loader:
        return None
    command, environment = command_of(("loader", *child_flags(config, LOADER), "--unload"))
    return Errand(name="unloading", command=command, environment=environment, within=60)


def _own(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as exc:
        raise StateUnwritable(
            f"cannot make {folder}: {exc.strerror}; choose another --state-dir, or start as root"
        ) from exc


def _tell(line: str) -> None:
    click.echo(f"conductor up: {line}", err=True)
