"""`conductor loader`: the start-up column; stopping is its reverse."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

from conductor.bpf.library import libbpf_version
from conductor.loader.assist import assist as assisting
from conductor.loader.attach import Links
from conductor.loader.bpffs import BpfFs
from conductor.loader.directory import OwnDirectory
from conductor.loader.health import HealthService
from conductor.loader.images import ImagePulls
from conductor.loader.ledger import Ledger
from conductor.loader.listener import listening
from conductor.loader.programs import Programs
from conductor.loader.rpc import Door
from conductor.loader.service import BpfmanService
from conductor.loader.serving import counting, serving, signals
from conductor.loader.sole import sole_owner, sole_user
from conductor.loader.stats import StatsService
from conductor.loader.store import RecordStore
from conductor.loader.trimmed_btf import TrimmedBtf
from conductor.loader.verifier_logs import VerifierLogs
from conductor.loader.worker import Worker

__all__ = ["serve"]

log = logging.getLogger(__name__)
_SERVICES = ("bpfman.v1.Bpfman", "conductor.loader.v1.Stats")
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_BPFMAN = Path("/run/bpfman-sock/bpfman.sock")


async def serve(
    *,
    socket: Path,
    bpffs: Path,
    state_dir: Path,
    cache_dir: Path,
    group: int,
    stats: bool = True,
    assist: bool = False,
    bpfman_socket: Path = _BPFMAN,
    registries: Path | None = None,
    image_policy: Path | None = None,
    stopping: asyncio.Event | None = None,
    unload_on_stop: bool = False,
    ready: Callable[[], None] | None = None,
) -> None:
    """Serve `bpfman.v1.Bpfman` on `socket` until SIGTERM, SIGINT or `stopping`; programs stay unless told otherwise.

    Records live in `state_dir`, cut-down BTF in `cache_dir`, both root's alone; `group` may call, and read map pins.
    With `assist` nothing is loaded: it stands beside a real bpfman at `bpfman_socket` (`loader/assist.py`).
    Raises `LibraryMissing`, `NotSupported`, `AddressInUse`, `NotAllowed`, `StateUnwritable`.
    """
    stop, boot_id, logs = stopping or asyncio.Event(), _boot_id(), VerifierLogs()
    if assist:
        await assisting(
            socket=socket, bpfman=bpfman_socket, group=group, boot_id=boot_id, stats=stats, stopping=stop, ready=ready
        )
        return
    libbpf_version()
    async with AsyncExitStack() as stack:
        state = stack.enter_context(OwnDirectory.opened(state_dir))
        stack.enter_context(sole_owner(state))
        cache = stack.enter_context(OwnDirectory.opened(cache_dir))
        pulled = stack.enter_context(OwnDirectory.opened(cache_dir / "images"))
        images = ImagePulls(directory=pulled, registries=registries, policy=image_policy)
        pins = BpfFs.mounted(bpffs, group)
        stack.enter_context(sole_user(bpffs))
        listener = stack.enter_context(listening(socket, group))
        store, btf = RecordStore(directory=state), TrimmedBtf(directory=cache)
        ledger = Ledger(store=store)
        programs = Programs(ledger=ledger, bpffs=pins, btf=btf, boot_id=boot_id)
        links = Links(ledger=ledger, bpffs=pins)
        enabled = stats and counting(stack)
        worker = await stack.enter_async_context(Worker.running())
        await worker.do(lambda: programs.recover(store))
        bpfman = BpfmanService(
            worker=worker, ledger=ledger, bpffs=pins, programs=programs, links=links, logs=logs, images=images
        )
        costs = StatsService(ledger=ledger, bpffs=pins, logs=logs, boot_id=boot_id, enabled=enabled)
        health = HealthService(services=_SERVICES, stopping=stop)
        doors = [Door(service=service, group=group) for service in (bpfman, costs, health)]
        async with serving(doors, listener):
            with signals(stop):
                log.info("serving on %s, pins in %s, %d programs found again", socket, bpffs, ledger.count)
                if ready is not None:
                    ready()
                await stop.wait()
        log.info("stopped serving; %s", "unloading everything" if unload_on_stop else "what is loaded stays")
        if unload_on_stop:
            await worker.do(programs.unload_all)


def _boot_id() -> str:
    return _BOOT_ID.read_text(encoding="ascii").strip()
