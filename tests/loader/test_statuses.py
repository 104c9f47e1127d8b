"""Every wrong request has its status, a sentence that helps, and no trace."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from grpclib.const import Status
from grpclib.exceptions import GRPCError

from conductor.proto.bpfman import v1 as pb
from tests.loader.running import Client, Daemon

pytestmark = pytest.mark.kernel
Compiled = Callable[[str], Path]
IMAGE = pb.BytecodeLocation(image=pb.BytecodeImage(url="127.0.0.1:5000/a:v1", image_pull_policy=2))
ENTER = ("on_enter", 2)
Case = tuple[str, list[tuple[str, int]], dict[str, Any], Status, str]
LOADS: list[Case] = [
    ("counters", [ENTER], {"bytecode": pb.BytecodeLocation()}, Status.INVALID_ARGUMENT, "bytecode"),
    ("counters", [ENTER], {"bytecode": IMAGE}, Status.NOT_FOUND, "pull policy is Never"),
    ("counters", [], {}, Status.INVALID_ARGUMENT, "1 to 64 programs"),
    ("counters", [("", 2)], {}, Status.INVALID_ARGUMENT, r"info\[0\].name: empty"),
    ("counters", [ENTER, ENTER], {}, Status.INVALID_ARGUMENT, "named twice"),
    ("counters", [("on_enter", 99)], {}, Status.INVALID_ARGUMENT, "99 is unknown"),
    ("counters", [("on_entr", 2)], {}, Status.INVALID_ARGUMENT, "on_enter"),
    ("counters", [("on_enter", 0)], {}, Status.INVALID_ARGUMENT, "cannot be loaded as XDP.*tracepoint"),
    ("hooks", [("on_uprobe", 3)], {}, Status.INVALID_ARGUMENT, "cannot be loaded as KProbe"),
    ("counters", [ENTER], {"global_data": {"only_pd": b"\0"}}, Status.INVALID_ARGUMENT, "only_pid"),
    ("counters", [ENTER], {"global_data": {"only_pid": b"\0"}}, Status.INVALID_ARGUMENT, "4 bytes"),
    ("counters", [ENTER], {"metadata": {"a": "x" * 70_000}}, Status.INVALID_ARGUMENT, "metadata"),
    ("rejected", [("bad", 2)], {}, Status.FAILED_PRECONDITION, "conductor kernel log"),
    ("relative.o", [ENTER], {}, Status.INVALID_ARGUMENT, "absolute"),
    ("/nonexistent/x.o", [ENTER], {}, Status.INVALID_ARGUMENT, "No such file"),
    ("/etc/passwd", [ENTER], {}, Status.INVALID_ARGUMENT, "no ELF"),
    ("/bin/true", [ENTER], {}, Status.INVALID_ARGUMENT, "another machine"),
    ("/", [ENTER], {}, Status.INVALID_ARGUMENT, "Is a directory"),
    ("/dev/zero", [ENTER], {}, Status.INVALID_ARGUMENT, "no regular file"),
    ("/a\0b", [ENTER], {}, Status.INVALID_ARGUMENT, "NUL"),
]
TRACEPOINT = pb.TracepointAttachInfo
ATTACHES: list[tuple[dict[str, Any], Status, str]] = [
    ({}, Status.INVALID_ARGUMENT, "says nothing"),
    ({"tracepoint_attach_info": TRACEPOINT(tracepoint="sys_enter")}, Status.INVALID_ARGUMENT, "group/name"),
    ({"tracepoint_attach_info": TRACEPOINT(tracepoint="../x")}, Status.INVALID_ARGUMENT, "group/name"),
    (
        {"tracepoint_attach_info": TRACEPOINT(tracepoint="raw_syscalls/sys_entr")},
        Status.NOT_FOUND,
        "raw_syscalls/sys_enter",
    ),
    ({"xdp_attach_info": pb.XdpAttachInfo(iface="lo")}, Status.FAILED_PRECONDITION, "by tracepoint, not xdp"),
    ({"fentry_attach_info": pb.FentryAttachInfo()}, Status.FAILED_PRECONDITION, "by tracepoint, not fentry"),
]
NETWORK: list[tuple[dict[str, Any], Status, str]] = [
    ({"iface": "lo", "direction": "sideways"}, Status.INVALID_ARGUMENT, "neither ingress nor egress"),
    ({"iface": "", "direction": "ingress"}, Status.INVALID_ARGUMENT, "iface: empty"),
    ({"iface": "l0", "direction": "ingress"}, Status.NOT_FOUND, "no interface 'l0'"),
    ({"iface": "lo", "direction": "ingress", "priority": -1}, Status.INVALID_ARGUMENT, "negative"),
    ({"iface": "lo", "direction": "ingress", "netns": "/etc/passwd"}, Status.INVALID_ARGUMENT, "no network namespace"),
    ({"iface": "lo", "direction": "ingress", "netns": "/nonexistent"}, Status.INVALID_ARGUMENT, "cannot be opened"),
]


@pytest.mark.parametrize("case", LOADS)
def test_loads(empty: Daemon, compiled: Compiled, case: Case) -> None:
    path, programs, fields, status, says = case
    where = path if "/" in path or path.endswith(".o") else str(compiled(path))

    async def wrong(client: Client) -> None:
        request = pb.LoadRequest(
            **{"bytecode": pb.BytecodeLocation(file=where), **fields},
            info=[
                pb.LoadInfo(name=name, program_type=pb.BpfmanProgramType.try_value(type_)) for name, type_ in programs
            ],
        )
        with pytest.raises(GRPCError, match=says) as caught:
            await client.bpfman.load(request)
        assert caught.value.status is status
        assert await client.list() == []

    empty.ask(wrong)
    assert (empty.pins(), empty.records) == (set(), [])
    assert "Traceback" not in empty.log


def test_one_bad_program_keeps_the_whole_load_out(empty: Daemon, compiled: Compiled) -> None:
    async def wrong(client: Client) -> None:
        with pytest.raises(GRPCError) as caught:
            await client.load(compiled("counters"), ENTER, ("nobody", 2))
        assert caught.value.status is Status.INVALID_ARGUMENT

    empty.ask(wrong)
    assert (empty.pins(), empty.records) == (set(), [])


def test_attaches(empty: Daemon, compiled: Compiled) -> None:
    async def wrong(client: Client) -> None:
        (loaded,) = await client.load(compiled("counters"), ENTER)
        for info, status, says in ATTACHES:
            with pytest.raises(GRPCError, match=says) as caught:
                await client.attach(loaded.kernel_info.id, **info)
            assert (info, caught.value.status) == (info, status)
        assert (await client.info(loaded.kernel_info.id)).links == []

    empty.ask(wrong)
    assert not {pin for pin in empty.pins() if pin.startswith("links/")}


def test_network_attaches(empty: Daemon, compiled: Compiled) -> None:
    async def wrong(client: Client) -> None:
        (loaded,) = await client.load(compiled("hooks"), ("on_tcx", 7))
        for fields, status, says in NETWORK:
            with pytest.raises(GRPCError, match=says) as caught:
                await client.attach(loaded.kernel_info.id, tcx_attach_info=pb.TcxAttachInfo(**fields))
            assert (fields, caught.value.status) == (fields, status)

    empty.ask(wrong)


def test_unknown_ids_are_not_found_and_told_apart(empty: Daemon, compiled: Compiled) -> None:
    async def wrong(client: Client) -> None:
        with pytest.raises(GRPCError, match=r"no program 0 .*there is none") as caught:
            await client.get(0)
        assert caught.value.status is Status.NOT_FOUND
        (loaded,) = await client.load(compiled("counters"), ENTER)
        for call in (
            client.get(999_999),
            client.unload(999_999),
            client.tracepoint(999_999),
            client.bpfman.detach(pb.DetachRequest(link_id=999_999)),
        ):
            with pytest.raises(GRPCError) as caught:
                await call
            assert caught.value.status is Status.NOT_FOUND
        with pytest.raises(GRPCError, match=rf"there are {loaded.kernel_info.id} \(on_enter\)"):
            await client.get(999_999)

    empty.ask(wrong)


def test_a_second_attach_at_one_place_names_the_first(empty: Daemon, compiled: Compiled) -> None:
    async def wrong(client: Client) -> None:
        (loaded,) = await client.load(compiled("counters"), ENTER)
        link = await client.tracepoint(loaded.kernel_info.id)
        with pytest.raises(GRPCError, match=f"already, as link {link}") as caught:
            await client.tracepoint(loaded.kernel_info.id)
        assert caught.value.status is Status.ALREADY_EXISTS
        assert (await client.info(loaded.kernel_info.id)).links == [link]

    empty.ask(wrong)


def test_an_unknown_type_in_a_filter_is_refused(empty: Daemon) -> None:
    async def wrong(client: Client) -> None:
        with pytest.raises(GRPCError, match="26 is unknown") as caught:
            await client.list(program_type=26)
        assert caught.value.status is Status.INVALID_ARGUMENT

    empty.ask(wrong)
