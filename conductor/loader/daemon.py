"""`conductor loader`: the start-up column; stopping is its reverse."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket as socket_module
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path

from grpclib.events import SendTrailingMetadata, listen
from grpclib.server import Server

from conductor.bpf.library import libbpf_version
from conductor.bpf.stats import run_stats
from conductor.errors import ConductorError, NotYet
from conductor.loader.attach import Links
from conductor.loader.bpffs import BpfFs
from conductor.loader.directory import OwnDirectory
from conductor.loader.health import HealthService
from conductor.loader.ledger import Ledger
from conductor.loader.listener import listening
from conductor.loader.programs import Programs
from conductor.loader.rpc import Door, explain
from conductor.loader.service import BpfmanService
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
_GRACE = 10.0
"""Seconds for calls under way to end."""


async def serve(
    *,
    socket: Path,
    bpffs: Path,
    state_dir: Path,
    cache_dir: Path,
    group: int,
    stats: bool = True,
    assist: bool = False,
    stopping: asyncio.Event | None = None,
    unload_on_stop: bool = False,
    ready: Callable[[], None] | None = None,
) -> None:
    """Serve `bpfman.v1.Bpfman` on `socket` until SIGTERM, SIGINT or `stopping`; programs stay unless told otherwise.

    Records live in `state_dir`, cut-down BTF in `cache_dir`, both root's alone; `group` may call, and read map pins.
    Raises `LibraryMissing`, `NotSupported`, `AddressInUse`, `NotAllowed`, `StateUnwritable`, `NotYet`.
    """
    if assist:
        raise NotYet("--assist comes with the support of a real bpfman; without it, this daemon loads programs itself")
    libbpf_version()
    stop, boot_id, logs = stopping or asyncio.Event(), _boot_id(), VerifierLogs()
    async with AsyncExitStack() as stack:
        state = stack.enter_context(OwnDirectory.opened(state_dir))
        stack.enter_context(sole_owner(state))
        cache = stack.enter_context(OwnDirectory.opened(cache_dir))
        pins = BpfFs.mounted(bpffs, group)
        stack.enter_context(sole_user(bpffs))
        listener = stack.enter_context(listening(socket, group))
        store, btf = RecordStore(directory=state), TrimmedBtf(directory=cache)
        ledger = Ledger(store=store)
        programs = Programs(ledger=ledger, bpffs=pins, btf=btf, boot_id=boot_id)
        links = Links(ledger=ledger, bpffs=pins)
        enabled = stats and _counting(stack)
        worker = await stack.enter_async_context(Worker.running())
        await worker.do(lambda: programs.recover(store))
        bpfman = BpfmanService(worker=worker, ledger=ledger, bpffs=pins, programs=programs, links=links, logs=logs)
        costs = StatsService(ledger=ledger, bpffs=pins, logs=logs, boot_id=boot_id, enabled=enabled)
        health = HealthService(services=_SERVICES, stopping=stop)
        doors = [Door(service=service, group=group) for service in (bpfman, costs, health)]
        async with _serving(doors, listener):
            with _signals(stop):
                log.info("serving on %s, pins in %s, %d programs found again", socket, bpffs, ledger.count)
                if ready is not None:
                    ready()
                await stop.wait()
        log.info("stopped serving; %s", "unloading everything" if unload_on_stop else "what is loaded stays")
        if unload_on_stop:
            await worker.do(programs.unload_all)


def _boot_id() -> str:
    return _BOOT_ID.read_text(encoding="ascii").strip()


@asynccontextmanager
async def _serving(doors: list[Door], listener: socket_module.socket) -> AsyncIterator[None]:
    server = Server(doors)
    listen(server, SendTrailingMetadata, explain)
    await server.start(sock=listener)
    try:
        yield
    finally:
        server.close()
        try:
            async with asyncio.timeout(_GRACE):
                await server.wait_closed()
        except TimeoutError:
            log.warning("calls under way did not end within %g s", _GRACE)


def _counting(stack: AsyncExitStack) -> bool:
    """Have the kernel keep run times while the daemon runs."""
    try:
        stack.enter_context(run_stats())
    except ConductorError as error:
        log.warning("run times of programs will be missing: %s", error)
        return False
    return True


@contextmanager
def _signals(stop: asyncio.Event) -> Iterator[None]:
    """Let SIGTERM and SIGINT stop the daemon; where it runs on another than the main thread, `stopping` must."""
    loop, taken = asyncio.get_running_loop(), []
    for number in (signal.SIGTERM, signal.SIGINT):
        try:
            loop.add_signal_handler(number, stop.set)
        except (RuntimeError, ValueError):
            break
        taken.append(number)
    try:
        yield
    finally:
        for number in taken:
            loop.remove_signal_handler(number)
