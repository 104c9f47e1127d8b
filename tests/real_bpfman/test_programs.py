"""Load, list and unload on each daemon; where they differ by nature, the difference is what is expected."""

from __future__ import annotations

import os

import pytest

from conductor.bpfman.flavour import Flavour
from conductor.bpfman.road import BpfmanRoad
from conductor.errors import (
    ConductorError,
    InvalidSpec,
    NotFound,
    NotSupported,
    ObjectUnreadable,
    VerifierRejected,
)
from conductor.model.ids import LinkId, ProgramId
from tests.real_bpfman.bed import ENTER, OWNER, Bed
from tests.real_bpfman.eyes import eventually

pytestmark = [pytest.mark.kernel, pytest.mark.slow]
NOBODY = ProgramId(2**31 - 1)


def test_the_flavour_is_told_at_connect(bed: Bed) -> None:
    async def story(road: BpfmanRoad) -> None:
        await road.loaded({})
        assert road.status.connected
        assert road.status.flavour == bed.flavour
        assert road.status.kernel_enforces_grants == (bed.flavour is Flavour.LOADER)
        assert road.status.lists_what_stands == (bed.flavour is Flavour.LOADER)

    bed.tell(story)


def test_programs_are_found_by_all_of_their_metadata(bed: Bed) -> None:
    async def story(road: BpfmanRoad) -> None:
        loaded = await road.load(bed.load("enter", "exit"))
        found = await road.loaded({OWNER: bed.owner, "ebpfconductor.io/app": "conform"})
        assert {p.id: p.name for p in found} == {p.id: p.name for p in loaded} == bed.eyes.programs()
        assert all(p.metadata[OWNER] == bed.owner for p in found)
        assert await road.loaded({OWNER: bed.owner, "ebpfconductor.io/app": "another"}) == ()

    bed.tell(story)


def test_tags_are_the_kernels(bed: Bed) -> None:
    """16 digits, also from the daemon that leaves leading zeros out."""

    async def story(road: BpfmanRoad) -> None:
        for program in await road.load(bed.load("enter", "exit", "tcx")):
            assert len(program.tag) == 16

    bed.tell(story)


def test_programs_of_one_load_share_their_maps(bed: Bed) -> None:
    """On the Go daemon, which shares none within a Load, by joining the first one's."""

    async def story(road: BpfmanRoad) -> None:
        first, second = await road.load(bed.load("enter", "exit"))
        counts = bed.map_id(first.map_pin_path)
        assert counts == bed.map_id(second.map_pin_path)
        assert counts in set(first.map_ids) & set(second.map_ids)
        await road.attach(first.id, bed.function("enter").type, ENTER, "")
        os.getpgid(0)
        assert bed.counted(first.map_pin_path, "enter") >= 1
        assert bed.counted(second.map_pin_path, "enter") >= 1

    bed.tell(story)


def test_map_owner_lends_its_maps_or_says_that_it_cannot(bed: Bed) -> None:
    async def story(road: BpfmanRoad) -> None:
        (owner,) = await road.load(bed.load("enter"))
        lent = bed.load("exit", map_owner=owner.id)
        if bed.flavour is Flavour.RUST:
            with pytest.raises(NotSupported, match="does not share maps between Loads"):
                await road.load(lent)
            return
        (guest,) = await road.load(lent)
        counts = bed.map_id(owner.map_pin_path)
        assert counts == bed.map_id(guest.map_pin_path)
        assert counts in set(owner.map_ids) & set(guest.map_ids)

    bed.tell(story)


def test_global_data_reaches_the_program(bed: Bed) -> None:
    async def story(road: BpfmanRoad) -> str:
        (program,) = await road.load(bed.load("enter", global_data={"scale": (7).to_bytes(4, "little")}))
        await road.attach(program.id, bed.function("enter").type, ENTER, "")
        os.getpgid(0)
        assert bed.counted(program.map_pin_path, "enter") % 7 == 0
        assert bed.counted(program.map_pin_path, "enter") >= 7
        return program.map_pin_path

    bed.tell(story)


def test_refused_loads_say_whose_fault_it_is_and_leave_nothing(bed: Bed) -> None:
    good = bed.load("enter")
    stranger = bed.function("enter").__class__(name="no_such_function", type=good.programs[0].type)
    no_elf = bed.folder / "text.o"
    no_elf.write_text("no ELF file at all, though it is as long as a header of one would have to be at the least")
    cases: list[tuple[str, dict[str, object], type[ConductorError]]] = [
        ("unknown program", {"programs": (*good.programs, stranger)}, InvalidSpec),
        ("missing file", {"path": "/nowhere/x.o"}, ObjectUnreadable),
        ("no ELF", {"path": str(no_elf)}, ObjectUnreadable),
        ("unknown global", {"global_data": {"no_such_global": b"\0"}}, InvalidSpec),
        ("global of another size", {"global_data": {"scale": b"\0"}}, InvalidSpec),
    ]
    if bed.flavour is not Flavour.RUST:
        cases.append(("unknown map owner", {"map_owner": NOBODY}, InvalidSpec))

    async def story(road: BpfmanRoad) -> None:
        for what, fields, error in cases:
            with pytest.raises(ConductorError) as refused:
                await road.load(bed.load("enter", **fields))
            assert type(refused.value) is error, f"{what}: {refused.value!r}"
        assert await road.loaded({OWNER: bed.owner}) == ()
        eventually(bed.eyes.programs, {})

    bed.tell(story)


def test_verifier_names_program_and_reason(bed: Bed) -> None:
    async def story(road: BpfmanRoad) -> None:
        with pytest.raises(VerifierRejected, match="R1 invalid mem access 'scalar'") as rejected:
            await road.load(bed.load("bad"))
        assert rejected.value.program == bed.name("bad")
        # The Go daemon shortens the verifier's log to its telling line; the others give it whole.
        assert (len(rejected.value.log) == 1) == (bed.flavour is Flavour.GO)

    bed.tell(story)


def test_what_is_gone_is_not_found(bed: Bed) -> None:
    async def story(road: BpfmanRoad) -> None:
        with pytest.raises(NotFound):
            await road.unload(NOBODY)
        with pytest.raises(NotFound):
            await road.detach(LinkId(2**31 - 1))
        with pytest.raises(NotFound):
            await road.attach(NOBODY, bed.function("enter").type, ENTER, "")

    bed.tell(story)


def test_unload_takes_links_and_pins_along(bed: Bed) -> None:
    async def story(road: BpfmanRoad) -> None:
        (program,) = await road.load(bed.load("enter"))
        link = await road.attach(program.id, bed.function("enter").type, ENTER, "")
        assert bed.eyes.links() == [program.id]
        await road.unload(program.id)
        eventually(bed.eyes.programs, {})
        assert not bed.daemon.place.seen(program.map_pin_path).exists()
        with pytest.raises(NotFound):
            await road.detach(link)
        with pytest.raises(NotFound):
            await road.unload(program.id)

    bed.tell(story)
