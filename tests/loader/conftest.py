"""A daemon in each test's own folder and bpffs."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.loader.running import Client, Daemon


@pytest.fixture
def stopped(tmp_path: Path, bpffs: Path) -> Iterator[Daemon]:
    """A daemon that was not started."""
    daemon = Daemon(folder=tmp_path, bpffs=bpffs)
    try:
        yield daemon
    finally:
        if daemon.process is not None:
            daemon.end(signal.SIGKILL)


@pytest.fixture
def daemon(stopped: Daemon) -> Daemon:
    """A daemon that serves."""
    stopped.start()
    return stopped


@pytest.fixture(scope="module")
def common(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon that serves all tests of a module; each leaves it empty."""
    folder = tmp_path_factory.mktemp("common")
    bpffs = folder / "bpffs"
    bpffs.mkdir()
    subprocess.run(["mount", "-t", "bpf", "bpf", str(bpffs)], check=True)
    daemon = Daemon(folder=folder, bpffs=bpffs)
    try:
        daemon.start()
        yield daemon
        daemon.end(signal.SIGKILL)
    finally:
        subprocess.run(["umount", "-l", str(bpffs)], check=True)


@pytest.fixture
def empty(common: Daemon) -> Iterator[Daemon]:
    """The module's daemon; what a test left is unloaded after it."""
    yield common

    async def unload(client: Client) -> None:
        await client.unload(*[result.kernel_info.id for result in await client.list()])

    common.ask(unload)
    assert (common.pins(), common.records) == (set(), [])
