"""Load, attach, look, detach, unload: what every client does."""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from grpclib.const import Cardinality, Status
from grpclib.exceptions import GRPCError

from conductor import __version__
from conductor.bpf.maps import open_map
from conductor.model.grants import Access
from conductor.proto.bpfman import v1 as pb
from tests.loader.running import GROUP, Client, Daemon

pytestmark = pytest.mark.kernel
Compiled = Callable[[str], Path]
TRACEPOINT = 2
BOTH = (("on_enter", TRACEPOINT), ("on_exit", TRACEPOINT))


def test_a_program_lives_and_leaves_nothing(empty: Daemon, compiled: Compiled) -> None:
    async def life(client: Client) -> None:
        (loaded,) = await client.load(compiled("counters"), ("on_enter", TRACEPOINT))
        id_ = loaded.kernel_info.id
        link = await client.tracepoint(id_)
        assert (await client.info(id_)).links == [link]
        assert await client.runs(id_) > 0
        assert {f"links/{link}", f"programs/{id_}", f"maps/{id_}/by_pid", f"maps/{id_}/total"} <= empty.pins()
        await client.unload(id_)

    empty.ask(life)
    assert (empty.pins(), empty.records) == (set(), [])


def test_detach_ends_the_runs_and_keeps_the_program(empty: Daemon, compiled: Compiled) -> None:
    async def life(client: Client) -> None:
        (loaded,) = await client.load(compiled("counters"), ("on_enter", TRACEPOINT))
        id_ = loaded.kernel_info.id
        link = await client.tracepoint(id_)
        await client.bpfman.detach(pb.DetachRequest(link_id=link))
        before = await client.runs(id_)
        assert (await client.info(id_)).links == []
        assert await client.runs(id_) == before
        assert await client.tracepoint(id_) != link

    empty.ask(life)


def test_programs_of_one_load_share_their_maps(empty: Daemon, compiled: Compiled) -> None:
    async def life(client: Client) -> None:
        loaded = await client.load(compiled("counters"), *BOTH)
        ids = [one.kernel_info.id for one in loaded]
        assert {tuple(sorted(one.kernel_info.map_ids)) for one in loaded} == {
            tuple(sorted(loaded[0].kernel_info.map_ids))
        }
        assert all(one.info.map_used_by == [str(id_) for id_ in ids] for one in loaded)
        await client.unload(ids[0])
        got = await client.info(ids[1])
        assert got.map_used_by == [str(ids[1])]
        assert empty.pins() == {f"programs/{ids[1]}", f"maps/{ids[1]}", f"maps/{ids[1]}/by_pid", f"maps/{ids[1]}/total"}
        await client.unload(ids[1])

    empty.ask(life)
    assert empty.pins() == set()


def test_what_is_told_of_a_program(empty: Daemon, compiled: Compiled) -> None:
    metadata = {"bpfman.io/ProgramName": "count", "owner": "exp"}
    path = str(compiled("counters"))

    async def life(client: Client) -> None:
        value = (7).to_bytes(4, "little")
        (loaded,) = await client.load(path, BOTH[0], metadata=metadata, global_data={"only_pid": value})
        got = await client.get(loaded.kernel_info.id)
        (listed,) = await client.list()
        assert got.info == loaded.info == listed.info
        assert got.kernel_info == loaded.kernel_info == listed.kernel_info
        info, kernel = await client.info(loaded.kernel_info.id), got.kernel_info
        assert (info.name, info.bytecode.file, info.metadata) == ("on_enter", path, metadata)
        assert info.global_data == {"only_pid": value}
        assert info.map_pin_path == f"{empty.bpffs}/maps/{kernel.id}"
        assert info.map_owner_id is None
        assert (kernel.name, kernel.program_type) == ("on_enter", TRACEPOINT)
        assert kernel.loaded_at.endswith("Z")
        assert len(kernel.tag) == 16
        assert kernel.gpl_compatible
        assert kernel.jited
        assert min(kernel.bytes_xlated, kernel.bytes_jited, kernel.bytes_memlock, kernel.btf_id) > 0

    empty.ask(life)


def test_global_data_reaches_the_program(empty: Daemon, compiled: Compiled) -> None:
    async def life(client: Client) -> None:
        """Only one pid is counted, which is nobody's."""
        (loaded,) = await client.load(compiled("counters"), BOTH[0], global_data={"only_pid": b"\xff\xff\xff\x7f"})
        id_ = loaded.kernel_info.id
        await client.tracepoint(id_)
        assert await client.runs(id_) > 0
        with open_map(empty.bpffs / f"maps/{id_}/by_pid", Access.READ) as counts:
            assert counts.entries().count == 0

    empty.ask(life)


def test_list_matches_all_metadata_and_bpfmans_type(empty: Daemon, compiled: Compiled) -> None:
    async def names(client: Client, **fields: Any) -> list[str]:
        return [result.info.name for result in await client.list(**fields) if result.info]

    async def life(client: Client) -> None:
        await client.load(compiled("counters"), BOTH[0], metadata={"a": "1", "b": "2"})
        await client.load(compiled("counters"), BOTH[1], metadata={"a": "1"})
        await client.load(compiled("hooks"), ("on_uprobe", 4))
        assert await names(client) == ["on_enter", "on_exit", "on_uprobe"]
        assert await names(client, bpfman_programs_only=True) == ["on_enter", "on_exit", "on_uprobe"]
        assert await names(client, match_metadata={"a": "1"}) == ["on_enter", "on_exit"]
        assert await names(client, match_metadata={"a": "1", "b": "2"}) == ["on_enter"]
        assert await names(client, match_metadata={"a": "2"}) == []
        assert await names(client, program_type=4) == ["on_uprobe"]
        assert await names(client, program_type=0) == []

    empty.ask(life)


def test_types_are_bpfmans_and_return_probes_come_from_sections(empty: Daemon, compiled: Compiled) -> None:
    wanted = {"on_xdp": 0, "on_tc": 1, "on_uprobe": 4, "on_uretprobe": 4, "on_tcx": 7}

    async def life(client: Client) -> None:
        loaded = await client.load(compiled("hooks"), *wanted.items())
        assert {one.info.name: one.kernel_info.program_type for one in loaded} == wanted

    empty.ask(life)


def test_modes_and_groups_of_pins(empty: Daemon, compiled: Compiled) -> None:
    def mode(name: str) -> tuple[int, int, int]:
        seen = (empty.bpffs / name).stat()
        return stat.S_IMODE(seen.st_mode), seen.st_uid, seen.st_gid

    async def life(client: Client) -> None:
        metadata = {"ebpfconductor.io/writable-maps": "total"}
        (counter,) = await client.load(compiled("counters"), BOTH[0], metadata=metadata)
        (events,) = await client.load(compiled("events"), BOTH[0])
        id_, link = counter.kernel_info.id, await client.tracepoint(counter.kernel_info.id)
        assert mode(f"programs/{id_}") == (0o600, 0, 0)
        assert mode(f"links/{link}") == (0o600, 0, 0)
        assert mode(f"maps/{id_}") == (0o750, 0, GROUP)
        assert mode(f"maps/{id_}/by_pid") == (0o640, 0, GROUP)
        assert mode(f"maps/{id_}/total") == (0o660, 0, GROUP)
        assert mode(f"maps/{events.kernel_info.id}/events") == (0o660, 0, GROUP)
        assert mode(f"maps/{events.kernel_info.id}/queue") == (0o660, 0, GROUP)
        assert {mode(name) for name in ("maps", "links", "programs")} == {(0o750, 0, GROUP)}

    empty.ask(life)
    seen = empty.socket.stat()
    assert (stat.S_IMODE(seen.st_mode), seen.st_gid) == (0o660, GROUP)
    assert {stat.S_IMODE(path.stat().st_mode) for path in empty.records} == {0o600}


@pytest.mark.parametrize(
    ("path", "request_", "reply", "status"),
    [("List", pb.ListRequest(), pb.ListResponse, None), ("Get", pb.GetRequest(id=0), pb.GetResponse, Status.NOT_FOUND)],
)
def test_every_answer_tells_who_stands_here(
    empty: Daemon, path: str, request_: Any, reply: type[Any], status: Status | None
) -> None:
    async def life(client: Client) -> None:
        told: dict[str, Any] = {}
        try:
            async with client.channel.request(
                f"/bpfman.v1.Bpfman/{path}", Cardinality.UNARY_UNARY, type(request_), reply, timeout=10
            ) as stream:
                await stream.send_message(request_, end=True)
                await stream.recv_initial_metadata()
                told.update(stream.initial_metadata or {})
                await stream.recv_message()
        except GRPCError as error:
            assert error.status is status  # noqa: PT017
        assert told["x-ebpfconductor-loader"] == __version__

    empty.ask(life)
