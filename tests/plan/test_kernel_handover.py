"""Which maps a new version takes over, without any kernel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from conductor.model.ids import Name, ProgramId
from conductor.model.kernel import KernelFunctionSpec, KernelProgramSpec, KernelType, PathObject
from conductor.plan.kernel_handover import FRESH, Heritage, handover
from conductor.plan.kernel_sets import KernelWant, LoadedSet, sets_of, stamp
from conductor.ports import KernelLoaded

LAYOUTS = {"counts": "1", "totals": "2"}


def want(*, labels: Mapping[str, str] | None = None, owner: str | None = None) -> KernelWant:
    function = KernelFunctionSpec(name="f", type=KernelType.TRACEPOINT)
    spec = KernelProgramSpec(
        name=Name("a"),
        bytecode=PathObject(path="/x.o"),
        programs=(function,),
        metadata=labels or {},
        map_owner=None if owner is None else Name(owner),
    )
    return KernelWant(spec=spec, path="/x.o", digest="1")


def before(layouts: Mapping[str, str] | None = LAYOUTS, *, boot: str = "now", maps: str = "") -> LoadedSet:
    metadata = stamp(want(), owner="me", boot_id=boot, token="t", lender="", maps=maps, layouts=layouts)
    (found,) = sets_of([KernelLoaded(id=ProgramId(1), name="f", type=None, metadata=metadata)], "now")
    return found


def test_stamped_layouts_and_maps_are_read_back() -> None:
    assert before().layouts == LAYOUTS
    assert before({}).layouts == {}
    assert before(None).layouts is None
    assert before().maps == "t"
    assert before(maps="first").maps == "first"


def test_same_layouts_are_taken_over_whole() -> None:
    old = before()
    assert handover(want(), old, LAYOUTS) == Heritage(source=old, names=frozenset(LAYOUTS), is_whole=True)


def test_more_and_fewer_maps_are_no_obstacle_but_no_whole() -> None:
    old = before()
    more, fewer = handover(want(), old, LAYOUTS | {"new": "3"}), handover(want(), old, {"counts": "1"})
    assert (more.source, more.names, more.is_whole) == (old, frozenset(LAYOUTS), False)
    assert (fewer.source, fewer.names, fewer.is_whole) == (old, frozenset({"counts"}), False)


def test_one_other_layout_keeps_all_and_is_named() -> None:
    decided = handover(want(), before(), LAYOUTS | {"totals": "other"})
    assert decided == Heritage(loss="map totals has another layout now")


def test_map_of_one_load_keeps_all() -> None:
    jumps = {"counts": "1", "jumps": ""}
    assert handover(want(), before(jumps), jumps).loss == "map jumps holds programs or maps of its own version"


def test_nothing_in_common_loses_nothing() -> None:
    assert handover(want(), before(), {"new": "3"}) == handover(want(), before({}), {}) == Heritage()


def test_unknown_layouts_are_left_to_the_daemon() -> None:
    old, untold = before(), before(None)
    assert handover(want(), old, None) == Heritage(source=old)
    assert handover(want(), untold, LAYOUTS) == Heritage(source=untold)


def test_who_asks_for_fresh_maps_gets_them_without_complaint() -> None:
    assert handover(want(labels={FRESH: "true"}), before(), LAYOUTS) == Heritage()


def test_maps_of_a_map_owner_are_its_alone() -> None:
    assert handover(want(owner="b"), before(), LAYOUTS) == Heritage()


def test_borrowed_maps_are_not_taken_along() -> None:
    assert handover(want(), replace(before(), lender="of b"), LAYOUTS) == Heritage()


def test_maps_of_another_boot_are_gone() -> None:
    assert handover(want(), before(boot="before"), LAYOUTS) == Heritage()
    assert handover(want(), None, LAYOUTS) == Heritage()


def test_labels_never_forge_layouts() -> None:
    forged = {"ebpfconductor.io/map-layouts": "counts=1", "ebpfconductor.io/maps-load": "x", FRESH: "true"}
    wanted = want()
    labelled = replace(wanted, spec=replace(wanted.spec, metadata=forged))
    stamped = stamp(labelled, owner="me", boot_id="now", token="t", lender="")
    assert "ebpfconductor.io/map-layouts" not in stamped
    assert (stamped["ebpfconductor.io/maps-load"], stamped[FRESH]) == ("t", "true")
