"""User-space probes, on the host and inside another root."""

from __future__ import annotations

import ctypes
import ctypes.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from grpclib.const import Status
from grpclib.exceptions import GRPCError

from conductor.errors import InvalidSpec, NotFound
from conductor.loader.uprobe_target import opened_target
from conductor.proto.bpfman import v1 as pb
from tests.loader.running import Client, Daemon

pytestmark = pytest.mark.kernel
Compiled = Callable[[str], Path]
LIBC = ctypes.CDLL(None)
ENTRY, RETURN = ("on_uprobe", 4), ("on_uretprobe", 4)


def libc_path() -> str:
    lines = Path("/proc/self/maps").read_text().splitlines()
    return next(line.split()[-1] for line in lines if "/libc.so" in line or "/libc-2" in line)


def call() -> None:
    for _ in range(5):
        LIBC.getppid()


async def probe(client: Client, compiled: Compiled, program: tuple[str, int], **fields: Any) -> int:
    (loaded,) = await client.load(compiled("hooks"), program)
    id_ = loaded.kernel_info.id
    await client.attach(id_, uprobe_attach_info=pb.UprobeAttachInfo(**fields))
    return id_


@pytest.mark.parametrize("program", [ENTRY, RETURN])
@pytest.mark.parametrize("target", ["path", "name"])
def test_a_library_function_is_probed(empty: Daemon, compiled: Compiled, program: tuple[str, int], target: str) -> None:
    async def life(client: Client) -> None:
        where = libc_path() if target == "path" else "libc"
        id_ = await probe(client, compiled, program, target=where, fn_name="getppid", pid=os.getpid())
        call()
        assert await client.runs(id_) == 5

    empty.ask(life)


def test_a_function_that_is_not_there_has_near_ones(empty: Daemon, compiled: Compiled) -> None:
    async def life(client: Client) -> None:
        with pytest.raises(GRPCError, match="getppid") as caught:
            await probe(client, compiled, ENTRY, target=libc_path(), fn_name="getpppid")
        assert caught.value.status is Status.NOT_FOUND

    empty.ask(life)


def test_bad_targets_have_their_status(empty: Daemon, compiled: Compiled, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    cases: list[tuple[dict[str, Any], Status]] = [
        ({"target": "/nonexistent", "fn_name": "f"}, Status.NOT_FOUND),
        ({"target": "libnosuch", "fn_name": "f"}, Status.NOT_FOUND),
        ({"target": "/etc/passwd", "fn_name": "f"}, Status.INVALID_ARGUMENT),
        ({"target": str(tmp_path / "fifo"), "fn_name": "f"}, Status.INVALID_ARGUMENT),
        ({"target": str(tmp_path / "fifo"), "offset": 64}, Status.INVALID_ARGUMENT),
        ({"target": libc_path()}, Status.INVALID_ARGUMENT),
        ({"target": "", "fn_name": "f"}, Status.INVALID_ARGUMENT),
        ({"target": libc_path(), "fn_name": "getppid", "pid": 0}, Status.INVALID_ARGUMENT),
        ({"target": libc_path(), "fn_name": "getppid", "pid": 2**31 - 1}, Status.NOT_FOUND),
        ({"target": libc_path(), "fn_name": "getppid", "container_pid": 2**31 - 1}, Status.NOT_FOUND),
    ]

    async def life(client: Client) -> None:
        for fields, status in cases:
            with pytest.raises(GRPCError) as caught:
                await probe(client, compiled, ENTRY, **fields)
            assert (fields, caught.value.status) == (fields, status)

    empty.ask(life)


@pytest.fixture
def contained(tmp_path: Path) -> Iterator[tuple[Path, subprocess.Popen[bytes]]]:
    """A process whose root is a folder of ours, with links in it that a container may have."""
    root = tmp_path / "root"
    (root / "usr/lib").mkdir(parents=True)
    shutil.copy(libc_path(), root / "usr/lib/libown.so.6")
    (root / "lib").symlink_to("/usr/lib")
    (root / "up").symlink_to("../../../../usr/lib/libown.so.6")
    (root / "loop").symlink_to("loop")
    (root / "secret").symlink_to("/etc/passwd")
    script = f"import os, sys; os.chroot({str(root)!r}); os.chdir('/'); print(flush=True); sys.stdin.read()"
    child = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdout.readline()
    try:
        yield root, child
    finally:
        child.stdin.close()
        child.wait(10)
        child.stdout.close()


@pytest.mark.parametrize(
    "target", ["/usr/lib/libown.so.6", "/lib/libown.so.6", "/up", "/usr/./lib/../lib/libown.so.6", "libown"]
)
def test_paths_are_those_of_the_container(contained: tuple[Path, subprocess.Popen[bytes]], target: str) -> None:
    root, child = contained
    with opened_target(target, child.pid) as path:
        assert Path(path).samefile(root / "usr/lib/libown.so.6")


def test_no_link_leads_out_of_the_container(contained: tuple[Path, subprocess.Popen[bytes]]) -> None:
    _, child = contained
    for target in ("/secret", "/../../etc/passwd", "libc", "/nonexistent"):
        with pytest.raises(NotFound), opened_target(target, child.pid):
            pass
    with pytest.raises(InvalidSpec), opened_target("/loop", child.pid):
        pass
    with pytest.raises(InvalidSpec), opened_target("/usr", child.pid):
        pass


def test_no_descriptor_is_left(contained: tuple[Path, subprocess.Popen[bytes]]) -> None:
    _, child = contained
    before = len(list(Path("/proc/self/fd").iterdir()))
    for target in ("/up", "libown", "/nonexistent", "/loop", "/secret"):
        try:
            with opened_target(target, child.pid):
                pass
        except (NotFound, InvalidSpec):
            continue
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_container_file_is_called_by_its_own_name(
    empty: Daemon, compiled: Compiled, contained: tuple[Path, subprocess.Popen[bytes]]
) -> None:
    _, child = contained

    async def life(client: Client) -> None:
        with pytest.raises(GRPCError, match=rf"/up \(of process {child.pid}\) has no function"):
            await probe(client, compiled, ENTRY, target="/up", fn_name="no_such", container_pid=child.pid)

    empty.ask(life)


def test_a_library_of_a_container_is_probed(
    empty: Daemon, compiled: Compiled, contained: tuple[Path, subprocess.Popen[bytes]]
) -> None:
    root, child = contained

    async def life(client: Client) -> None:
        id_ = await probe(client, compiled, ENTRY, target="libown", fn_name="getppid", container_pid=child.pid)
        ctypes.CDLL(str(root / "usr/lib/libown.so.6")).getppid()
        assert await client.runs(id_) == 1

    empty.ask(life)
