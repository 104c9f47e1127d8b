"""Who may call."""

from __future__ import annotations

import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from conductor.loader.rpc import may_call
from tests.loader.running import GROUP, Daemon

pytestmark = pytest.mark.kernel
TALK = """
import os, socket, sys
peer = socket.socket(socket.AF_UNIX)
os.setgroups([int(g) for g in sys.argv[4].split(",") if g])
os.setgid(int(sys.argv[3])), os.setuid(int(sys.argv[2]))
peer.connect(sys.argv[1])
peer.recv(1)
"""


def talk(path: Path, uid: int, gid: int, groups: str = "") -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", TALK, str(path), str(uid), str(gid), groups], stderr=subprocess.PIPE)


@pytest.mark.parametrize(
    ("uid", "gid", "groups", "allowed"),
    [
        (0, 0, "", True),
        (1234, GROUP, "", True),
        (1234, 1234, f"7,{GROUP}", True),
        (1234, 1234, "", False),
        (1234, 0, "7,8", False),
        (1234, 1234, ",".join(str(n) for n in range(100_000, 100_200)), False),
    ],
)
def test_root_and_members_may_call(tmp_path: Path, uid: int, gid: int, groups: str, *, allowed: bool) -> None:
    path = Path("/tmp") / f"{tmp_path.parent.name}-{tmp_path.name[-20:]}"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        try:
            path.chmod(0o777)
            server.listen()
            server.settimeout(10)
            child = talk(path, uid, gid, groups)
            peer, _ = server.accept()
            with peer:
                assert may_call(peer, GROUP) is allowed
            child.communicate(timeout=10)
        finally:
            path.unlink()


def let_through(daemon: Daemon) -> None:
    """Open pytest's own folders above the socket, however many there are."""
    for folder in (daemon.folder, *daemon.folder.parents):
        if folder == Path(tempfile.gettempdir()):
            return
        folder.chmod(0o755)


def test_the_sockets_mode_keeps_others_out(empty: Daemon) -> None:
    let_through(empty)
    child = talk(empty.socket, 1234, 1234)
    _, said = child.communicate(timeout=10)
    assert b"PermissionError" in said


def test_a_stranger_who_gets_through_is_refused_by_the_door(empty: Daemon) -> None:
    """The mode is the first wall; this is the one behind it."""
    script = """
import asyncio, os, sys
from grpclib.client import Channel
from conductor.proto.bpfman import v1 as pb
os.setgroups([]), os.setgid(1234), os.setuid(1234)
async def main():
    channel = Channel(path=sys.argv[1])
    try:
        await pb.BpfmanStub(channel).list(pb.ListRequest(), timeout=10)
    except Exception as error:
        print(error.status.name, error.message)
    channel.close()
asyncio.run(main())
"""
    empty.socket.chmod(0o666)
    let_through(empty)
    try:
        done = subprocess.run(
            [sys.executable, "-c", script, str(empty.socket)], capture_output=True, text=True, check=True
        )
    finally:
        empty.socket.chmod(0o660)
    assert done.stdout.startswith("PERMISSION_DENIED only root and members")
