"""Who may read and who may change, by the kernel's own word of who connected."""

from __future__ import annotations

import array
import asyncio
import os
import socket
import stat
from collections.abc import Collection
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from grpclib.const import Status

from conductor.api.peer import Gate, Permission, caller_of, permission_of
from conductor.api.server import MAX_CONNECTIONS_OF_STRANGERS
from tests.api.conftest import house
from tests.api.raw import Answer, framed, talking, text
from tests.api.test_garbage import METHODS

READERS, CHANGERS, NOBODY = 50_001, 50_002, 65_534
BOTH = Gate(owner=65_532, read_group=READERS, change_group=CHANGERS)
as_root = pytest.mark.skipif(os.getuid() != 0, reason="becoming another user needs root")


def connected(path: Path, uid: int, groups: Collection[int]) -> socket.socket:
    """Connect as another user, in a child that hands the socket over: credentials are those of connect()."""
    ours, theirs = socket.socketpair()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([*groups])
            os.setgid(NOBODY)
            os.setuid(uid)
            sock = socket.socket(socket.AF_UNIX)
            sock.connect(str(path))
            theirs.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [sock.fileno()]))])
        finally:
            os._exit(0)
    theirs.close()
    with ours:
        _, descriptors, _, _ = socket.recv_fds(ours, 1, 1)
    os.waitpid(child, 0)
    if not descriptors:
        raise PermissionError(path)
    return socket.socket(fileno=descriptors[0])


def asked(gate: Gate, method: str, message: bytes, *, uid: int = NOBODY, groups: Collection[int] = ()) -> Answer:
    async def whole() -> Answer:
        async with asyncio.timeout(10), house(gate) as here, talking(connected(here.socket, uid, groups)) as raw:
            stream = raw.begin(method)
            raw.send(stream, framed(message), end=True)
            return await raw.answer(stream)

    return asyncio.run(whole())


@as_root
def test_a_reader_may_list_and_may_not_load() -> None:
    assert asked(BOTH, "List", b"", groups=[READERS]).status is Status.OK
    refused = asked(BOTH, "Load", text(2, "service_map"), groups=[READERS])
    assert (refused.status, refused.reason) == (Status.PERMISSION_DENIED, "NotAllowed")
    assert refused.message == (
        "nobody may not change here: be root or the agent's user, or join group 50002 (--change-group)"
    )


@as_root
def test_a_changer_may_do_both() -> None:
    assert asked(BOTH, "List", b"", groups=[CHANGERS]).status is Status.OK
    assert asked(BOTH, "Load", text(2, "service_map"), groups=[READERS, CHANGERS]).status is Status.OK


@as_root
def test_a_stranger_is_refused_before_a_message_is_read() -> None:
    refused = asked(BOTH, "List", b"\xff" * 20)
    assert refused.status is Status.PERMISSION_DENIED
    assert "--read-group" in refused.message


@as_root
def test_the_agents_own_user_may_do_all() -> None:
    assert asked(BOTH, "Load", text(2, "service_map"), uid=65_532).status is Status.OK


@as_root
def test_a_stranger_may_ask_for_health() -> None:
    async def whole() -> None:
        async with asyncio.timeout(10), house(BOTH) as here, talking(connected(here.socket, NOBODY, ())) as raw:
            stream = raw.begin("", [(":path", "/grpc.health.v1.Health/Check")])
            raw.send(stream, framed(b""), end=True)
            assert (await raw.answer(stream)).body == b"\x08\x01"

    asyncio.run(whole())


@as_root
def test_strangers_cannot_fill_a_socket_that_two_groups_may_use() -> None:
    async def whole() -> None:
        async with asyncio.timeout(20), house(BOTH) as here, AsyncExitStack() as stack:
            assert stat.S_IMODE(here.socket.stat().st_mode) == 0o666
            for uid in range(60_000, 60_000 + MAX_CONNECTIONS_OF_STRANGERS + 2):
                stack.enter_context(connected(here.socket, uid, ()))
            await asyncio.sleep(0.1)
            counts = here.server.counts
            assert (counts.connections, counts.connections_refused) == (MAX_CONNECTIONS_OF_STRANGERS, 2)
            raw = await stack.enter_async_context(talking(connected(here.socket, NOBODY, [READERS])))
            stream = raw.begin("List")
            raw.send(stream, framed(b""), end=True)
            assert (await raw.answer(stream)).status is Status.OK

    asyncio.run(whole())


@as_root
def test_one_group_owns_the_socket_and_others_cannot_even_connect() -> None:
    async def whole() -> None:
        async with house(Gate(owner=0, change_group=CHANGERS)) as here:
            found = here.socket.stat()
            assert (stat.S_IMODE(found.st_mode), found.st_gid) == (0o660, CHANGERS)
            connected(here.socket, NOBODY, [CHANGERS]).close()
            with pytest.raises(PermissionError):
                connected(here.socket, NOBODY, [READERS])

    asyncio.run(whole())


def test_the_kernel_says_who_connected() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        caller = caller_of(ours)
    assert (caller.uid, caller.gid, caller.pid) == (os.getuid(), os.getgid(), os.getpid())
    assert caller.groups == {*os.getgroups(), os.getgid()}


def test_only_what_is_known_to_read_reads() -> None:
    readers = {m for m in METHODS if permission_of(f"/agent.v1.agent/{m}") is Permission.READ}
    assert set(METHODS) - readers == {
        "Load",
        "Unload",
        "PullBytecode",
        "Update",
        "Start",
        "Stop",
        "Restart",
        "Apply",
        "Delete",
        "Upload",
        "PruneImages",
    }
    assert permission_of("/agent.v1.agent/Tomorrow") is Permission.CHANGE
