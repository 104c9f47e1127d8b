"""`conductor agent`: prepare as root what must be there, give up every right, then import and run the agent."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NoReturn

import click

from conductor import frugal
from conductor.cli import journal
from conductor.cli.settings import AGENT, child_environment, child_flags, settings
from conductor.cli.view import closed, code, own_view
from conductor.config import Config
from conductor.errors import AddressInUse, PrivilegesKept
from conductor.locks import hold
from conductor.privilege import Identity, drop, identity_of, private_folder, shared_folder

__all__ = ["agent", "become_agent", "command_of", "folders"]


@click.command(epilog="`conductor up` runs this and the loader together; use this one under systemd or in a pod.")
@settings(AGENT)
@click.option("--own-view", is_flag=True, hidden=True, help="Hide a closed home but for our code.")
@click.option("--lock", type=click.Path(path_type=Path), hidden=True, help="File to hold locked while running.")
@click.option("--lock-fd", type=int, hidden=True, help="That lock, already held.")
def agent(config: Config, *, own_view: bool, lock: Path | None, lock_fd: int | None) -> int:
    """Run the agent: gRPC service, metrics page, managers and user programs.

    Started as root it makes its folders, becomes --user and gives up every capability before it does anything else. It
    needs a loader or bpfman for kernel programs and runs without either.
    """
    if lock_fd is not None:
        os.set_inheritable(lock_fd, False)  # our children must not hold it after us
    held = hold(lock) if lock else None
    become_agent(config, ("agent", *child_flags(config, AGENT)), with_view=own_view, lock=held)
    _alone(config.agent.state_dir)
    journal.configure(config.log)
    frugal.begin()
    from conductor.agent import run  # noqa: PLC0415 - numpy starts threads when imported: only after the drop

    return run(config)


def _alone(state_dir: Path) -> None:
    """Lock the state for the life of this process: two agents would take each other's programs for leftovers."""
    try:
        hold(state_dir / "lock")
    except AddressInUse as exc:
        raise AddressInUse(f"another agent works in {state_dir}: {exc}, or choose another --state-dir") from None


def become_agent(config: Config, words: Iterable[str], *, with_view: bool, lock: int | None = None) -> None:
    """Make the agent's folders and become its user without rights; return in the process that goes on.

    Where that user cannot read our code, this process is replaced by one that runs `words` in a view of its own, if
    `with_view`. Raises `PrivilegesKept`, `InvalidConfig`, `StateUnwritable`.
    """
    identity = identity_of(config.identity)
    folders(config, identity)
    _refuse_unreadable(config.kubeconfig, identity)
    hidden = closed(code(), identity)
    if hidden and not with_view:
        raise PrivilegesKept(
            f"{identity.words} cannot read our code, for {hidden[0].behind} is closed; run `conductor up`, which arranges "
            "that, or install to a place that everybody can read"
        )
    if hidden:
        _view(config, identity)
    drop(identity)
    if hidden:
        _begin_again((*words, *(("--lock-fd", str(lock)) if lock is not None else ())), lock)


def _refuse_unreadable(secret: Path | None, identity: Identity) -> None:
    """A file with credentials is not to be opened to everybody: the agent's user gets one of its own."""
    for one in closed((secret,) if secret else (), identity):
        if one.behind == one.path:
            raise PrivilegesKept(
                f"{one.path} is readable by its owner alone, and the agent runs as {identity.words}: give it a copy of its "
                f"own (install -o {identity.uid} -m 0400 {one.path} COPY)"
            )


def folders(config: Config, identity: Identity) -> None:
    """Make what the agent writes to: its own folders, and the one for the sockets that it shares with the loader."""
    for folder in (config.agent.state_dir, config.agent.cache_dir):
        private_folder(folder, identity)
    shared_folder(config.agent_socket.parent, identity)


def command_of(words: Iterable[str]) -> tuple[tuple[str, ...], dict[str, str]]:
    """Arguments and environment by which another process of this very program is started."""
    environment = child_environment()
    package = Path(sys.modules["conductor"].__path__[0]).parent
    if package.name not in {"site-packages", "dist-packages"}:
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, (str(package), environment.get("PYTHONPATH"))))
    return (sys.executable, "-P", "-m", "conductor", *words), environment


def _view(config: Config, identity: Identity) -> None:
    sockets = {path.parent for path in (config.agent_socket, config.loader_socket, config.bpfman_socket)}
    write = {config.agent.state_dir, config.agent.cache_dir, config.bpffs, *sockets}
    files = (config.names, config.kubeconfig, config.image_policy, config.registries, *config.apply)
    read = {*code(), *(path for path in files if path)}
    own_view(identity=identity, read=tuple(read), write=[path for path in write if path.exists()])


def _begin_again(words: Iterable[str], lock: int | None) -> NoReturn:
    if lock is not None:
        os.set_inheritable(lock, True)
    arguments, environment = command_of(words)
    os.execve(arguments[0], arguments, environment)  # noqa: S606 - no shell is wanted
