"""What records and pins of an earlier run come to: pure."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from conductor.loader.hooks import TracepointHook
from conductor.loader.records import KernelFacts, LinkRecord, LoadRecord, ProgramRecord
from conductor.loader.recover import PinnedProgram, Recovery, pins_of, recovery
from conductor.model.ids import LinkId, ProgramId
from conductor.model.kernel import KernelType

HOOK = TracepointHook(name="raw_syscalls/sys_enter")
FACTS = KernelFacts(name="f", tag="00", loaded_at="2026-01-01T00:00:00Z")


def program(id_: int, *links: int, maps: tuple[str, ...] = ("m",), tag: str = "00") -> ProgramRecord:
    return ProgramRecord(
        id=ProgramId(id_),
        name="f",
        type=KernelType.TRACEPOINT,
        kernel=replace(FACTS, tag=tag),
        maps=dict.fromkeys(maps, 1),
        links=tuple(LinkRecord(id=LinkId(link), hook=HOOK) for link in links),
    )


def load(*programs: ProgramRecord, boot: str = "now") -> LoadRecord:
    return LoadRecord(key=programs[0].id, boot_id=boot, path="/x.o", programs=programs)


def world(*programs: ProgramRecord) -> tuple[set[str], dict[str, PinnedProgram]]:
    pins = set().union(*(pins_of(one) for one in programs))
    return pins, {f"programs/{one.id}": PinnedProgram(one.id, one.kernel.tag) for one in programs}


def recovered(*records: LoadRecord, pins: set[str], programs: dict[str, PinnedProgram]) -> Recovery:
    return recovery(records, pins=pins, programs=programs, boot_id="now")


def test_what_is_whole_stays_untouched() -> None:
    record = load(program(7, 70), program(8))
    pins, programs = world(*record.programs)
    assert recovered(record, pins=pins, programs=programs) == Recovery(keep=(record,), write=(), forget=(), unpin=())


def test_a_link_that_was_never_pinned_is_dropped() -> None:
    record = load(program(7, 70, 71))
    pins, programs = world(program(7, 70))
    plan = recovered(record, pins=pins, programs=programs)
    assert plan.keep == plan.write == (load(program(7, 70)),)


def test_a_program_without_pin_is_dropped_with_all_of_it() -> None:
    record = load(program(7), program(8, 80))
    pins, programs = world(*record.programs)
    del programs["programs/8"]
    plan = recovered(record, pins=pins, programs=programs)
    assert plan.keep == (load(program(7)),)
    assert plan.unpin == ("links/80", "maps/8", "maps/8/m", "programs/8")


def test_another_program_behind_the_pin_is_not_ours() -> None:
    record = load(program(7))
    pins, programs = world(program(7, tag="ff"))
    plan = recovered(record, pins=pins, programs=programs)
    assert (plan.keep, plan.forget, plan.unpin) == ((), (7,), tuple(sorted(pins)))


def test_records_of_another_boot_own_nothing() -> None:
    old = load(program(7), boot="before")
    pins, programs = world(program(7))
    plan = recovered(old, pins=pins, programs=programs)
    assert (plan.keep, plan.forget, plan.unpin) == ((), (7,), tuple(sorted(pins)))


def test_pins_that_nobody_speaks_of_go() -> None:
    plan = recovered(pins={"links/9", "maps/3", "maps/3/m", "shared/x"}, programs={})
    assert plan.unpin == ("links/9", "maps/3", "maps/3/m", "shared/x")


def test_a_shared_map_stays_as_long_as_one_program_has_it() -> None:
    one, other = (replace(program(id_), shared=("m",)) for id_ in (7, 8))
    pins, programs = world(one, other)
    plan = recovered(load(other), pins=pins, programs=programs)
    assert "shared/m" not in plan.unpin
    assert "maps/7/m" in plan.unpin


IDS = st.integers(1, 5)
PROGRAMS = st.builds(
    lambda id_, links, tag: program(id_, *links, tag=tag), IDS, st.sets(IDS, max_size=2), st.sampled_from(["00", "ff"])
)
RECORDS = st.lists(
    st.builds(
        lambda programs, boot: load(*programs, boot=boot),
        st.lists(PROGRAMS, min_size=1, max_size=3, unique_by=lambda one: one.id),
        st.sampled_from(["now", "before"]),
    ),
    max_size=4,
    unique_by=lambda record: record.key,
)


@settings(deadline=None)
@given(RECORDS, st.lists(PROGRAMS, max_size=4, unique_by=lambda one: one.id), st.data())
def test_applied_once_there_is_nothing_left_to_do(
    records: list[LoadRecord], there: list[ProgramRecord], data: st.DataObject
) -> None:
    pins, programs = world(*there)
    pins -= data.draw(st.sets(st.sampled_from(sorted(pins)))) if pins else set()
    programs = {name: who for name, who in programs.items() if name in pins}
    plan = recovered(*records, pins=pins, programs=programs)
    after = pins - {*plan.unpin}
    kept = [one for record in plan.keep for one in record.programs]
    assert len({one.id for one in kept}) == len(kept)
    assert after == set().union(*(pins_of(one) for one in kept)) & pins
    again = recovered(*plan.keep, pins=after, programs={name: who for name, who in programs.items() if name in after})
    assert again == Recovery(keep=plan.keep, write=(), forget=(), unpin=())
