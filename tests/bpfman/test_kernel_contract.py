"""What every implementation of `ports.Kernel` keeps: the fake, our client before each daemon, the real loader."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from conductor.errors import AlreadyExists, ConductorError, NotFound, NotSupported, VerifierRejected
from conductor.model.ids import LinkId, ProgramId
from conductor.model.kernel import KernelFunctionSpec, KernelType
from tests.bpfman.conftest import OWNER, World, WorldMaker

NOBODY = ProgramId(2**31 - 1)


def run(world: WorldMaker, story: Callable[[World], Awaitable[None]]) -> None:
    """Tell one story in a fresh world."""

    async def whole() -> None:
        async with world() as here, asyncio.timeout(30):
            await story(here)

    asyncio.run(whole())


def test_loaded_programs_are_found_by_their_metadata(world: WorldMaker) -> None:
    async def story(w: World) -> None:
        loaded = await w.kernel.load(w.load())
        found = await w.kernel.loaded({OWNER: w.owner})
        assert {p.id for p in found} == {p.id for p in loaded}
        assert {p.name for p in found} == {w.first.name, w.second.name}
        assert await w.kernel.loaded({OWNER: "another"}) == ()

    run(world, story)


def test_programs_of_one_load_share_their_maps(world: WorldMaker) -> None:
    async def story(w: World) -> None:
        first, second = await w.kernel.load(w.load())
        assert set(first.map_ids) & set(second.map_ids)
        assert first.map_pin_path
        assert second.map_pin_path

    run(world, story)


def test_link_is_listed_until_it_is_detached(world: WorldMaker) -> None:
    async def story(w: World) -> None:
        (program,) = await w.kernel.load(w.load(w.first))
        link = await w.kernel.attach(program.id, w.first.type, w.first_link, "")
        assert (await w.kernel.loaded({OWNER: w.owner}))[0].links == (link,)
        await w.kernel.detach(link)
        assert (await w.kernel.loaded({OWNER: w.owner}))[0].links == ()

    run(world, story)


def test_one_program_attaches_once_at_one_place(world: WorldMaker) -> None:
    async def story(w: World) -> None:
        (program,) = await w.kernel.load(w.load(w.first))
        await w.kernel.attach(program.id, w.first.type, w.first_link, "")
        with pytest.raises(AlreadyExists):
            await w.kernel.attach(program.id, w.first.type, w.first_link, "")

    run(world, story)


def test_program_loaded_twice_attaches_twice(world: WorldMaker) -> None:
    async def story(w: World) -> None:
        (old,) = await w.kernel.load(w.load(w.first))
        (new,) = await w.kernel.load(w.load(w.first))
        links = {await w.kernel.attach(p.id, w.first.type, w.first_link, "") for p in (old, new)}
        assert len(links) == 2

    run(world, story)


def test_unload_takes_links_along(world: WorldMaker) -> None:
    async def story(w: World) -> None:
        (program,) = await w.kernel.load(w.load(w.first))
        link = await w.kernel.attach(program.id, w.first.type, w.first_link, "")
        await w.kernel.unload(program.id)
        assert await w.kernel.loaded({OWNER: w.owner}) == ()
        with pytest.raises(NotFound):
            await w.kernel.detach(link)

    run(world, story)


def test_what_is_gone_is_not_found(world: WorldMaker) -> None:
    async def story(w: World) -> None:
        with pytest.raises(NotFound):
            await w.kernel.unload(NOBODY)
        with pytest.raises(NotFound):
            await w.kernel.detach(LinkId(2**31 - 1))
        with pytest.raises(NotFound):
            await w.kernel.attach(NOBODY, w.first.type, w.first_link, "")

    run(world, story)


def test_refused_load_leaves_nothing(world: WorldMaker) -> None:
    async def story(w: World) -> None:
        unknown = KernelFunctionSpec(name="no_such_function", type=KernelType.TRACEPOINT)
        for load in (
            w.load(w.first, unknown),
            replace(w.load(), path="/nowhere/x.o"),
            replace(w.load(), global_data={"no_such_global": b"\0"}),
            replace(w.load(), map_owner=NOBODY),
        ):
            with pytest.raises(ConductorError) as refused:
                await w.kernel.load(load)
            assert str(refused.value)
        assert await w.kernel.loaded({OWNER: w.owner}) == ()

    run(world, story)


def test_verifier_names_the_program_and_says_why(world: WorldMaker) -> None:
    async def story(w: World) -> None:
        with pytest.raises(VerifierRejected) as rejected:
            await w.kernel.load(replace(w.load(w.rejected), path=w.rejected_path))
        assert rejected.value.program == w.rejected.name
        assert rejected.value.log
        assert await w.kernel.loaded({OWNER: w.owner}) == ()

    run(world, story)


def test_global_data_of_the_right_size_is_taken(world: WorldMaker) -> None:
    async def story(w: World) -> None:
        loaded = await w.kernel.load(replace(w.load(w.first), global_data={w.variable: b"\1\0\0\0"}))
        assert len(loaded) == 1

    run(world, story)


def test_map_owner_lends_its_maps(world: WorldMaker) -> None:
    async def story(w: World) -> None:
        (owner,) = await w.kernel.load(w.load(w.first))
        lent = replace(w.load(w.second), map_owner=owner.id)
        if w.kernel.status.flavour == "bpfman-rust":
            with pytest.raises(NotSupported, match="does not share maps"):
                await w.kernel.load(lent)
            return
        (guest,) = await w.kernel.load(lent)
        assert set(owner.map_ids) & set(guest.map_ids)

    run(world, story)


def test_maps_outlive_their_owner_and_are_lent_on(world: WorldMaker) -> None:
    async def story(w: World) -> None:
        (first,) = await w.kernel.load(w.load(w.first))
        if w.kernel.status.flavour == "bpfman-rust":
            return
        maps = set(first.map_ids)
        for _ in range(3):
            (before,) = await w.kernel.loaded({OWNER: w.owner})
            (heir,) = await w.kernel.load(replace(w.load(w.first), map_owner=before.id))
            await w.kernel.unload(before.id)
            maps &= set(heir.map_ids)
        assert maps

    run(world, story)


def test_map_owner_with_another_layout_is_refused_by_name(world: WorldMaker) -> None:
    async def story(w: World) -> None:
        (owner,) = await w.kernel.load(w.load(w.first))
        other = replace(w.load(w.other), path=w.other_path, map_owner=owner.id)
        with pytest.raises(ConductorError, match="share" if w.kernel.status.flavour == "bpfman-rust" else w.map):
            await w.kernel.load(other)
        assert len(await w.kernel.loaded({OWNER: w.owner})) == 1

    run(world, story)


def test_what_is_held_is_not_unmanaged(world: WorldMaker) -> None:
    async def story(w: World) -> None:
        loaded = await w.kernel.load(w.load())
        unmanaged = await w.kernel.unmanaged()
        if w.kernel.status.flavour != "bpfman-rust":
            assert unmanaged is None
            return
        assert unmanaged is not None
        assert not {p.id for p in loaded} & {p.id for p in unmanaged}

    run(world, story)


def test_connection_tells_the_present_first(world: WorldMaker) -> None:
    async def story(w: World) -> None:
        await w.kernel.loaded({})
        told = await anext(aiter(w.kernel.connection()))
        assert told.connected
        assert told == w.kernel.status

    run(world, story)
