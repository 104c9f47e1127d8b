"""Decisions about kernel programs, without any kernel."""

from __future__ import annotations

from dataclasses import replace

from conductor.model.ids import LinkId, Name, ProgramId
from conductor.model.kernel import (
    Direction,
    InterfaceSelector,
    KernelFunctionSpec,
    KernelProgramSpec,
    KernelType,
    PathObject,
    TcxLink,
    TracepointLink,
)
from conductor.plan.kernel import (
    Adopt,
    AttachLink,
    DetachLink,
    Forget,
    Load,
    Replace,
    Unload,
    Wait,
    plan,
)
from conductor.plan.kernel_sets import KernelWant, LinkRecord, LinkWant, LoadedSet, sets_of, stamp
from conductor.ports import KernelLoaded

BOOT = "boot"
A, B = Name("a"), Name("b")
ENTER = LinkWant(function="f", type=KernelType.TRACEPOINT, link=TracepointLink(name="raw_syscalls/sys_enter"))
EXIT = LinkWant(function="f", type=KernelType.TRACEPOINT, link=TracepointLink(name="raw_syscalls/sys_exit"))


def want(
    name: Name = A, *links: LinkWant, functions: str = "f", owner: Name | None = None, digest: str = "1"
) -> KernelWant:
    programs = tuple(KernelFunctionSpec(name=f, type=KernelType.TRACEPOINT) for f in functions.split())
    spec = KernelProgramSpec(name=name, bytecode=PathObject(path="/x.o"), programs=programs, map_owner=owner)
    return KernelWant(spec=spec, path="/x.o", digest=digest, links=links)


def loaded(first: int, of: KernelWant, *links: int, token: str = "t", lender: str = "", boot: str = BOOT) -> LoadedSet:
    """A set as the daemon lists it; all links sit on its first program."""
    metadata = stamp(of, owner="me", boot_id=boot, token=token, lender=lender)
    members = [
        KernelLoaded(id=ProgramId(first + i), name=program.name, type=None, metadata=metadata)
        for i, program in enumerate(of.spec.programs)
    ]
    members[0] = replace(members[0], links=tuple(LinkId(link) for link in links))
    (found,) = sets_of(members, BOOT)
    return found


def record(program: int, link: int | None, of: LinkWant = ENTER, name: Name = A, *, aside: bool = False) -> LinkRecord:
    id_ = None if link is None else LinkId(link)
    return LinkRecord(name=name, program=ProgramId(program), want=of, link=id_, aside=aside)


def test_what_is_not_there_is_loaded() -> None:
    w = want(A, ENTER)
    assert plan({A: w}, [], []).actions == (Load(want=w),)


def test_what_is_there_needs_nothing() -> None:
    w = want(A, ENTER)
    assert plan({A: w}, [loaded(1, w, 9)], [record(1, 9)]).actions == ()


def test_what_nobody_wants_is_unloaded() -> None:
    old = loaded(1, want(), 9)
    assert plan({}, [old], [record(1, 9)]).actions == (Unload(name=A, old=old),)


def test_other_bytecode_replaces() -> None:
    new, old = want(A, ENTER, digest="2"), loaded(1, want(A, ENTER), 9)
    decided = plan({A: new}, [old], [record(1, 9)])
    assert decided.actions == (Replace(want=new, old=(old,), before=old),)
    assert decided.holding == {A: old}


def test_set_of_another_boot_is_replaced() -> None:
    w = want(A, ENTER)
    old = loaded(1, w, 9, boot="before")
    assert plan({A: w}, [old], [record(1, 9)]).actions == (Replace(want=w, old=(old,), before=old),)


def test_incomplete_set_is_replaced() -> None:
    half = loaded(1, want(functions="f"))
    both = want(functions="f g")
    half = replace(half, hash=both.hash)
    assert plan({A: both}, [half], []).actions == (Replace(want=both, old=(half,), before=half),)


def test_second_set_of_a_lost_answer_is_unloaded() -> None:
    w = want(A, ENTER)
    first, second = loaded(1, w, token="x"), loaded(5, w, 9, token="y")
    assert plan({A: w}, [first, second], [record(5, 9)]).actions == (Unload(name=A, old=first),)


def test_failed_replace_is_cleared_before_it_is_tried_again() -> None:
    new = want(A, ENTER, digest="2")
    old, half = loaded(1, want(A, ENTER), 9), loaded(5, new, token="y")
    decided = plan({A: new}, [old, half], [record(1, 9)])
    assert decided.actions == (Unload(name=A, old=half), Replace(want=new, old=(old,), before=old))


def test_missing_link_is_attached_to_what_runs() -> None:
    w = want(A, ENTER, EXIT)
    assert plan({A: w}, [loaded(1, w, 9)], [record(1, 9)]).actions == (
        AttachLink(name=A, program=ProgramId(1), want=EXIT),
    )


def test_changed_link_is_attached_before_the_old_one_is_detached() -> None:
    w = want(A, EXIT)
    old = record(1, 9)
    assert plan({A: w}, [loaded(1, w, 9)], [old]).actions == (
        AttachLink(name=A, program=ProgramId(1), want=EXIT),
        DetachLink(name=A, link=LinkId(9), record=old),
    )


def test_changed_priority_at_one_place_detaches_first() -> None:
    before, after = (
        LinkWant(
            function="f",
            type=KernelType.TCX,
            link=TcxLink(interfaces=InterfaceSelector(names=("lo",)), direction=Direction.INGRESS, priority=priority),
            interface="lo",
            index=1,
        )
        for priority in (10, 20)
    )
    w, old = want(A, after), record(1, 9, before)
    assert plan({A: w}, [loaded(1, w, 9)], [old]).actions == (
        DetachLink(name=A, link=LinkId(9), record=old),
        AttachLink(name=A, program=ProgramId(1), want=after),
    )


def test_link_that_vanished_is_forgotten_and_attached_again() -> None:
    w, gone = want(A, ENTER), record(1, 9)
    assert plan({A: w}, [loaded(1, w)], [gone]).actions[0] == Forget(name=A, record=gone)
    assert plan({A: w}, [loaded(1, w)], []).actions == (AttachLink(name=A, program=ProgramId(1), want=ENTER),)


def test_one_unknown_link_is_that_of_the_one_unanswered_attach() -> None:
    w, asked = want(A, ENTER), record(1, None)
    assert plan({A: w}, [loaded(1, w, 9)], [asked]).actions == (Adopt(name=A, record=asked, link=LinkId(9)),)


def test_a_link_that_may_be_a_mere_note_is_no_answer() -> None:
    """bpfman writes a link down before it attaches it: one who was killed between lists what does not stand."""
    w, old = want(A, ENTER), loaded(1, want(A, ENTER), 9)
    decided = plan({A: w}, [old], [record(1, None)], listed_stand=False)
    assert decided.actions == (Replace(want=w, old=(old,), before=old),)
    assert plan({A: w}, [old], [record(1, 9)], listed_stand=False).actions == ()


def test_unanswered_attach_that_left_no_link_is_never_repeated_on_that_program() -> None:
    w, old = want(A, ENTER), loaded(1, want(A, ENTER))
    assert plan({A: w}, [old], [record(1, None)]).actions == (Replace(want=w, old=(old,), before=old),)


def test_two_unanswered_attaches_cannot_be_told_apart() -> None:
    w = want(A, ENTER, EXIT)
    old = loaded(1, w, 8, 9)
    asked = [record(1, None), record(1, None, EXIT)]
    assert plan({A: w}, [old], asked).actions == (Replace(want=w, old=(old,), before=old),)


def test_link_that_we_never_made_is_detached() -> None:
    w = want(A, ENTER)
    assert plan({A: w}, [loaded(1, w, 9, 10)], [record(1, 9)]).actions == (DetachLink(name=A, link=LinkId(10)),)


def test_map_user_waits_for_the_owner() -> None:
    guest, host = want(A, owner=B), want(B)
    assert plan({A: guest, B: host}, [], []).actions == (Load(want=host), Wait(name=A, owner=B))


def test_map_user_is_loaded_with_the_owners_set() -> None:
    guest, host = want(A, owner=B), want(B)
    lender = loaded(1, host, token="host")
    assert plan({A: guest, B: host}, [lender], []).actions == (Load(want=guest, lender=lender),)


def test_map_user_follows_an_owner_that_was_replaced() -> None:
    guest, host = want(A, owner=B), want(B)
    old, lender = loaded(5, guest, token="g", lender="before"), loaded(9, host, token="host")
    decided = plan({A: guest, B: host}, [old, lender], [])
    assert decided.actions == (Replace(want=guest, old=(old,), before=old, lender=lender),)


def test_map_user_runs_on_while_its_owner_is_gone() -> None:
    guest = want(A, owner=B)
    assert plan({A: guest}, [loaded(5, guest, lender="before")], []).actions == ()


def test_map_user_stays_where_its_owner_handed_its_maps_on() -> None:
    guest, host = want(A, owner=B), want(B)
    old = loaded(5, guest, token="g", lender="first")
    lender = replace(loaded(9, host, token="second"), maps="first")
    assert plan({A: guest, B: host}, [old, lender], []).actions == ()


def test_maps_are_those_of_the_version_that_is_attached() -> None:
    new = want(A, ENTER, digest="3")
    old, cut_short = loaded(1, want(A, ENTER), 9), loaded(5, want(A, ENTER, digest="2"), token="y")
    decided = plan({A: new}, [old, cut_short], [record(1, 9)])
    assert decided.actions == (Replace(want=new, old=(old, cut_short), before=old),)
    assert decided.holding == {A: old}


def test_link_that_made_room_stays_recorded_until_its_program_goes() -> None:
    new, old = want(A, ENTER, digest="2"), loaded(1, want(A, ENTER))
    aside = record(1, 9, aside=True)
    assert plan({A: new}, [old], [aside]).actions == (Replace(want=new, old=(old,), before=old),)
    assert plan({A: new}, [], [aside]).actions[0] == Forget(name=A, record=aside)


def test_link_that_made_room_comes_back_with_the_wish_for_its_version() -> None:
    w, aside = want(A, ENTER), record(1, 9, aside=True)
    assert plan({A: w}, [loaded(1, w)], [aside]).actions == (
        Forget(name=A, record=aside),
        AttachLink(name=A, program=ProgramId(1), want=ENTER),
    )


def test_link_that_made_room_is_put_back_while_the_new_version_waits_for_its_owner() -> None:
    new, old, aside = want(A, EXIT, owner=B), loaded(1, want(A, ENTER)), record(1, 9, aside=True)
    assert plan({A: new}, [old], [aside]).actions == (
        AttachLink(name=A, program=ProgramId(1), want=ENTER),
        Wait(name=A, owner=B),
    )


def test_circle_of_owners_waits() -> None:
    wanted = {A: want(A, owner=B), B: want(B, owner=A)}
    assert all(isinstance(action, Wait) for action in plan(wanted, [], []).actions)


def test_map_users_are_unloaded_before_owners() -> None:
    host, guest = loaded(1, want(B), token="host"), loaded(5, want(A, owner=B), token="g", lender="host")
    assert plan({}, [host, guest], []).actions == (Unload(name=A, old=guest), Unload(name=B, old=host))


def test_labels_of_a_wish_never_forge_ours() -> None:
    w = want()
    forged = replace(w, spec=replace(w.spec, metadata={"ebpfconductor.io/owner": "you", "team": "net"}))
    stamped = stamp(forged, owner="me", boot_id=BOOT, token="t", lender="")
    assert stamped["ebpfconductor.io/owner"] == "me"
    assert stamped["team"] == "net"
