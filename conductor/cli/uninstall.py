"""`conductor uninstall`: end what is kept, unload what was loaded, remove what is left."""

from __future__ import annotations

import ctypes
import os
import select
import shutil
import signal
import socket
import subprocess
from pathlib import Path

import click

from conductor.cli.agent import command_of
from conductor.cli.settings import LOADER, child_flags, settings
from conductor.config import Config
from conductor.errors import AddressInUse, KernelRefused, NotAllowed, StateUnwritable
from conductor.locks import holder

__all__ = ["uninstall"]

_PATIENCE = 30.0
_UNLOADING = 120.0
_UNINSTALL = ("agent_socket", "loader_socket", "bpffs", "state_dir", "cache_dir", "user", "groups", "allow_uid0")


@click.command(epilog="What a real bpfman loaded for us stays with it: unload that first, while the agent runs.")
@settings(_UNINSTALL)
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
def uninstall(config: Config, *, yes: bool) -> None:
    """Remove every pin, link, socket and file of ours from this machine; the package itself stays.

    Ends `conductor up` with its loader and agent if they run. A loader or agent that something else keeps (systemd, a
    cluster) must be ended there first.
    """
    if os.geteuid() != 0:
        raise NotAllowed("removing what root made needs root: sudo conductor uninstall")
    paths = _ours(config)
    if not paths:
        click.echo("Nothing of ours is here.")
        return
    for path in paths:
        click.echo(path)
    if not yes and not _confirmed():
        raise NotAllowed("nothing was removed: answer y, or give --yes")
    _end_kept(config)
    _refuse_living(config)
    if config.loader.state_dir.exists() or config.bpffs.is_mount():
        _unload(config)
    _remove(config, paths)
    click.echo("Removed.")


def _confirmed() -> bool:
    try:
        return click.confirm("Remove all this, with every eBPF program that our loader loaded?", err=True)
    except click.Abort:  # no terminal, or end of input
        click.echo(err=True)
        return False


def _ours(config: Config) -> list[Path]:
    """What of ours is there. Of the folders that flags name only the parts that we made: a flag may name any folder."""
    state = [config.state_dir / part for part in ("keeper", "agent", "loader")]
    cache = [config.cache_dir / part for part in ("agent", "loader")]
    found = [config.agent_socket, config.loader_socket, config.bpffs, *state, *cache]
    return [path for path in found if os.path.lexists(path)]


def _end_kept(config: Config) -> None:
    """End keeper, agent and loader, in this order, each by the lock that it holds."""
    for name in ("keeper", "agent", "loader"):
        pidfd = holder(config.keeper.state_dir / f"{name}.lock")
        if pidfd is None:
            continue
        try:
            signal.pidfd_send_signal(pidfd, signal.SIGTERM)
            click.echo(f"ending {name}", err=True)
            if not select.select([pidfd], [], [], _PATIENCE * (4 if name == "keeper" else 1))[0]:
                raise AddressInUse(f"{name} does not end; end it by hand and repeat")
        finally:
            os.close(pidfd)


def _refuse_living(config: Config) -> None:
    for name, path in (("an agent", config.agent_socket), ("a loader", config.loader_socket)):
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(1)
            if probe.connect_ex(str(path)) == 0:
                raise AddressInUse(f"{name} still serves {path}; end it where it was started, then repeat")


def _unload(config: Config) -> None:
    """Let the loader itself undo what it did: it knows filters and links that have no pin."""
    command, environment = command_of(("loader", *child_flags(config, LOADER), "--unload", "--log-level", "warning"))
    try:
        subprocess.run(command, env=environment, cwd="/", stdout=subprocess.DEVNULL, check=True, timeout=_UNLOADING)
    except subprocess.CalledProcessError:
        raise KernelRefused("the loader could not unload everything; what it said stands above") from None
    except subprocess.TimeoutExpired:
        raise KernelRefused(f"the loader has not unloaded everything within {_UNLOADING:g} s; repeat it") from None


def _remove(config: Config, paths: list[Path]) -> None:
    try:
        if config.bpffs.is_mount():
            _unmount(config.bpffs)
        for path in paths:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        for folder in (config.state_dir, config.cache_dir, config.agent_socket.parent, config.loader_socket.parent):
            if folder.is_dir() and not any(folder.iterdir()) and _is_ours(folder):
                folder.rmdir()
    except OSError as exc:
        raise StateUnwritable(f"{exc.filename}: {exc.strerror}") from exc


def _is_ours(folder: Path) -> bool:
    """Whether an empty folder was made by us: by its name, or by the mode that only we give."""
    return folder.name in {"ebpfconductor", "state", "cache"} or folder.stat().st_mode & 0o7777 == 0o1775


def _unmount(path: Path) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.umount2(str(path).encode(), 0) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(path))
