"""Maps that are shared: with an owner, or by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from grpclib.const import Status
from grpclib.exceptions import GRPCError

from tests.loader.running import Client, Daemon

pytestmark = pytest.mark.kernel
Compiled = Callable[[str], Path]
ENTER, EXIT = ("on_enter", 2), ("on_exit", 2)


def test_a_dependent_uses_the_maps_of_its_owner_and_outlives_it(empty: Daemon, compiled: Compiled) -> None:
    async def life(client: Client) -> None:
        (owner,) = await client.load(compiled("counters"), ENTER)
        owner_id = owner.kernel_info.id
        (user,) = await client.load(compiled("counters"), EXIT, map_owner_id=owner_id)
        user_id = user.kernel_info.id
        assert user.info.map_owner_id == owner_id
        assert user.info.map_used_by == [str(owner_id), str(user_id)]
        assert len({*owner.kernel_info.map_ids} & {*user.kernel_info.map_ids}) == 2
        await client.unload(owner_id)
        got = await client.info(user_id)
        assert got.map_used_by == [str(user_id)]
        assert {f"maps/{user_id}/by_pid", f"maps/{user_id}/total"} <= empty.pins()
        await client.unload(user_id)

    empty.ask(life)
    assert empty.pins() == set()


def test_maps_of_another_layout_are_named(empty: Daemon, compiled: Compiled) -> None:
    async def life(client: Client) -> None:
        (owner,) = await client.load(compiled("counters"), ENTER)
        with pytest.raises(GRPCError, match="map by_pid is hash of 4096 entries") as caught:
            await client.load(compiled("shared"), ("first", 2), map_owner_id=owner.kernel_info.id)
        assert caught.value.status is Status.INVALID_ARGUMENT
        assert len(await client.list()) == 1

    empty.ask(life)


def test_an_unknown_owner_is_refused(empty: Daemon, compiled: Compiled) -> None:
    async def life(client: Client) -> None:
        with pytest.raises(GRPCError, match=r"map_owner_id: no program 4294967295") as caught:
            await client.load(compiled("counters"), ENTER, map_owner_id=2**32 - 1)
        assert caught.value.status is Status.INVALID_ARGUMENT

    empty.ask(life)


def test_a_map_pinned_by_name_is_one_for_all_and_goes_with_the_last(empty: Daemon, compiled: Compiled) -> None:
    async def life(client: Client) -> None:
        (one,) = await client.load(compiled("shared"), ("first", 2))
        (other,) = await client.load(compiled("shared"), ("second", 2))
        assert len({*one.kernel_info.map_ids} & {*other.kernel_info.map_ids}) == 1
        assert one.info.map_used_by != other.info.map_used_by
        await client.unload(one.kernel_info.id)
        assert "shared/common_count" in empty.pins()
        await client.unload(other.kernel_info.id)

    empty.ask(life)
    assert empty.pins() == set()


def test_writable_maps_must_exist(empty: Daemon, compiled: Compiled) -> None:
    async def life(client: Client) -> None:
        with pytest.raises(GRPCError, match=r"no map totl; did you mean total\?") as caught:
            await client.load(compiled("counters"), ENTER, metadata={"ebpfconductor.io/writable-maps": "totl"})
        assert caught.value.status is Status.INVALID_ARGUMENT

    empty.ask(life)
