"""The daemon as a process: start, stop, and not twice."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from conductor.loader.daemon import serve
from conductor.proto.conductor.loader import v1 as own
from conductor.proto.grpc.health import v1 as health
from tests.loader.running import GROUP, Client, Daemon

pytestmark = pytest.mark.kernel
Compiled = Callable[[str], Path]


def refused(daemon: Daemon, **options: object) -> str:
    """Start another daemon that must not start; answer the last line it says."""
    hear, tell = os.pipe()
    try:
        done = subprocess.run(
            daemon.command(tell, **options), pass_fds=[tell], capture_output=True, timeout=30, check=False
        )
    finally:
        os.close(hear)
        os.close(tell)
    assert done.returncode != 0
    return done.stderr.decode().strip().splitlines()[-1]


def test_a_second_daemon_in_the_same_state_is_refused_with_the_pid(daemon: Daemon, tmp_path: Path) -> None:
    assert daemon.process is not None
    said = refused(daemon, socket=str(tmp_path / "other.sock"))
    assert f"another loader (pid {daemon.process.pid}) works in {daemon.state}" in said
    assert daemon.ask(lambda client: client.list()) == []


def test_a_second_daemon_on_the_same_bpffs_is_refused(daemon: Daemon, tmp_path: Path) -> None:
    said = refused(daemon, socket=str(tmp_path / "other.sock"), state_dir=str(tmp_path / "other"))
    assert f"another loader uses {daemon.bpffs}" in said


def test_a_socket_that_somebody_serves_is_left_alone(stopped: Daemon) -> None:
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(stopped.socket))
        other.listen()
        assert "another daemon answers" in refused(stopped)
        assert stopped.socket.exists()


def test_a_file_in_the_sockets_place_is_left_alone(stopped: Daemon) -> None:
    stopped.socket.write_text("mine")
    assert "is no socket" in refused(stopped)
    assert stopped.socket.read_text() == "mine"


def test_a_state_directory_that_others_may_change_is_refused(stopped: Daemon) -> None:
    stopped.state.mkdir(mode=0o700)
    stopped.state.chmod(0o777)
    assert "can be changed by others" in refused(stopped)


def test_a_symbolic_link_in_the_state_directorys_place_is_refused(stopped: Daemon, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    stopped.state.symlink_to(tmp_path / "elsewhere")
    assert "cannot be used" in refused(stopped)


def test_programs_stay_unless_told_to_unload(stopped: Daemon, compiled: Compiled) -> None:
    async def load(client: Client) -> None:
        (loaded,) = await client.load(compiled("counters"), ("on_enter", 2))
        await client.tracepoint(loaded.kernel_info.id)

    stopped.start()
    stopped.ask(load)
    assert stopped.end() == 0
    assert stopped.pins()
    stopped.start(unload_on_stop=True)
    assert stopped.end() == 0
    assert (stopped.pins(), stopped.records) == (set(), [])
    assert not stopped.socket.exists()


def test_it_mounts_its_bpffs_if_there_is_none(stopped: Daemon, tmp_path: Path) -> None:
    place = tmp_path / "own"
    try:
        stopped.start(bpffs=str(place))
        assert os.path.ismount(place)
        seen = place.stat()
        assert (stat.S_IMODE(seen.st_mode), seen.st_gid) == (0o750, GROUP)
        assert stopped.end() == 0
        stopped.start(bpffs=str(place))
        mounts = Path("/proc/self/mountinfo").read_text()
        assert mounts.count(f" {place} ") == 1
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def test_it_serves_in_a_task_until_told_to_stop(stopped: Daemon) -> None:
    async def life() -> None:
        stopping, started = asyncio.Event(), asyncio.Event()
        async with asyncio.timeout(20), asyncio.TaskGroup() as group:
            group.create_task(
                serve(
                    socket=stopped.socket,
                    bpffs=stopped.bpffs,
                    state_dir=stopped.state,
                    cache_dir=stopped.folder / "cache",
                    group=0,
                    stopping=stopping,
                    ready=started.set,
                )
            )
            await started.wait()
            assert stopped.socket.exists()
            stopping.set()

    asyncio.run(life())
    assert not stopped.socket.exists()


def test_health_is_told_for_the_process_and_its_services(empty: Daemon) -> None:
    async def ask(client: Client) -> None:
        stub = health.HealthStub(client.channel)
        for service in ("", "bpfman.v1.Bpfman", "conductor.loader.v1.Stats"):
            assert (await stub.check(health.HealthCheckRequest(service=service))).status == 1
        with pytest.raises(Exception, match="no service"):
            await stub.check(health.HealthCheckRequest(service="other"))
        async for reply in stub.watch(health.HealthCheckRequest()):
            assert reply.status == 1
            break

    empty.ask(ask)


def test_the_daemon_tells_of_itself(empty: Daemon, compiled: Compiled) -> None:
    boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()

    async def ask(client: Client) -> None:
        (loaded,) = await client.load(compiled("counters"), ("on_enter", 2))
        await client.tracepoint(loaded.kernel_info.id)
        info = await client.stats.info(own.InfoRequest())
        assert (info.programs, info.links, info.bpffs) == (1, 1, str(empty.bpffs))
        assert info.boot_id == boot_id

    empty.ask(ask)


def test_run_times_are_kept_or_said_to_be_missing(stopped: Daemon, compiled: Compiled) -> None:
    async def ask(client: Client) -> own.ProgramsResponse:
        (loaded,) = await client.load(compiled("counters"), ("on_enter", 2))
        await client.tracepoint(loaded.kernel_info.id)
        return await client.stats.programs(own.ProgramsRequest())

    stopped.start()
    kept = stopped.ask(ask)
    assert kept.enabled
    assert kept.programs[0].run_time_ns > 0
    stopped.end()
    stopped.start(stats=False)
    assert not stopped.ask(lambda client: client.stats.programs(own.ProgramsRequest())).enabled


def test_the_verifiers_whole_log_is_kept_by_app(empty: Daemon, compiled: Compiled) -> None:
    async def ask(client: Client) -> None:
        with pytest.raises(Exception, match="bad"):
            await client.load(compiled("rejected"), ("bad", 2), metadata={"ebpfconductor.io/app": "tool"})
        lines = (await client.stats.log(own.LogRequest(app="tool"))).lines
        assert any("processed" in line for line in lines)
        assert (await client.stats.log(own.LogRequest(app="other"))).lines == []

    empty.ask(ask)
