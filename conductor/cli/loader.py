"""`conductor loader`: the privileged daemon, and its one-shot form that unloads what it had loaded."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import click

from conductor import frugal
from conductor.cli import journal
from conductor.cli.settings import LOADER, settings
from conductor.config import Config
from conductor.errors import NotAllowed, StateUnwritable
from conductor.locks import hold
from conductor.privilege import identity_of, shared_folder

__all__ = ["loader"]

_CAP_SYS_ADMIN, _CAP_BPF = 21, 39


@click.command(epilog="`conductor up` runs this and the agent together.")
@settings(LOADER)
@click.option(
    "--assist", is_flag=True, help="Load nothing: beside a real bpfman, give run times, and pins to the agent."
)
@click.option("--unload", is_flag=True, help="Unload everything this loader had loaded, and end.")
@click.option(
    "--prepare", is_flag=True, help="Make the sockets' folder and mount the bpffs for the whole machine, and end."
)
@click.option("--lock", type=click.Path(path_type=Path), hidden=True, help="File to hold locked while running.")
def loader(config: Config, *, assist: bool, unload: bool, prepare: bool, lock: Path | None) -> None:
    """Run the loader: it serves bpfman's API on a socket and is the only process that needs rights.

    What it loaded stays in the kernel when it ends; it finds everything again when it starts.
    """
    _need_rights()
    if lock:
        hold(lock)
    identity = identity_of(config.identity)
    shared_folder(config.loader_socket.parent, identity)
    if prepare:
        _mount(config, identity.gid)
        return
    for folder in (config.loader.state_dir, config.loader.cache_dir):
        _own(folder)
    journal.configure(config.log)
    asyncio.run(_serve(config, group=identity.gid, assist=assist, unload=unload))


async def _serve(config: Config, *, group: int, assist: bool, unload: bool) -> None:
    frugal.begin()
    from conductor.loader.daemon import serve  # noqa: PLC0415 - `--help` must not load libbpf

    stopping = asyncio.Event()
    if unload:
        stopping.set()
    await serve(
        socket=config.loader.socket,
        bpffs=config.loader.bpffs,
        state_dir=config.loader.state_dir,
        cache_dir=config.loader.cache_dir,
        group=group,
        stats=config.loader.stats,
        assist=assist,
        bpfman_socket=config.bpfman_socket,
        registries=config.images.registries,
        image_policy=config.images.image_policy,
        stopping=stopping,
        unload_on_stop=unload,
        ready=frugal.settle,
    )


def _mount(config: Config, group: int) -> None:
    from conductor.loader.bpffs import BpfFs  # noqa: PLC0415 - as above

    BpfFs.mounted(config.loader.bpffs, group)


def _own(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as exc:
        raise StateUnwritable(f"cannot make {folder}: {exc.strerror}; choose another place for it") from exc


def _need_rights() -> None:
    status = Path("/proc/self/status").read_text()
    effective = int(next(line.split()[1] for line in status.splitlines() if line.startswith("CapEff:")), 16)
    if os.geteuid() != 0 and not effective & (1 << _CAP_BPF | 1 << _CAP_SYS_ADMIN):
        raise NotAllowed("loading eBPF needs rights: start the loader as root")
