"""Wishes of several sources: who holds a name, who may withdraw what; apply and delete."""

from __future__ import annotations

import pytest

from conductor.errors import InvalidSpec, NameTaken, NotFound, SourceHolds
from conductor.managers.program import ProgramManager
from conductor.model.ids import Name
from conductor.model.manifest import KERNEL_PROGRAM, USER_PROGRAM
from conductor.model.program import Source
from conductor.model.status import State
from tests.managers.program_world import ProgramWorld, until, until_state, user

P = Name("p")


def shown(programs: ProgramManager) -> list[tuple[str, str, State, str]]:
    return [(s.spec.name, s.source.word, s.condition.state, s.condition.reason) for s in programs.observed()]


async def test_the_stronger_source_holds_the_name_and_the_other_is_told(world: ProgramWorld) -> None:
    async with world.agent() as programs:
        await programs.load(user(step=1))
        await programs.set_source(Source.CLUSTER, [user(step=2)])
        await until_state(programs, "p", State.RUNNING, "")
        assert shown(programs) == [
            ("p", "grpc", State.FAILED, "NameTaken"),
            ("p", "cluster", State.RUNNING, ""),
        ]
        assert programs.get(P).spec == user(step=2)


async def test_what_the_stronger_source_withdraws_falls_to_the_weaker(world: ProgramWorld) -> None:
    async with world.agent() as programs:
        await programs.load(user(step=1))
        await programs.set_source(Source.CLUSTER, [user(step=2)])
        await programs.set_source(Source.CLUSTER, [])
        await until(lambda: shown(programs) == [("p", "grpc", State.RUNNING, "")])
        assert programs.get(P).spec == user(step=1)


async def test_a_source_withdraws_only_its_own(world: ProgramWorld) -> None:
    async with world.agent() as programs:
        await programs.load(user())
        await programs.set_source(Source.FILE, [user("f")])
        with pytest.raises(SourceHolds, match="source file"):
            await programs.unload(Name("f"))
        with pytest.raises(SourceHolds):
            await programs.delete([(USER_PROGRAM, Name("f"))])
        await programs.set_source(Source.FILE, [])
        assert shown(programs) == [("p", "grpc", State.RUNNING, "")]


async def test_a_loser_may_be_withdrawn_by_its_own_source(world: ProgramWorld) -> None:
    async with world.agent() as programs:
        await programs.load(user())
        await programs.set_source(Source.FILE, [user(step=2)])
        await programs.unload(P)
        assert [s.source for s in programs.observed()] == [Source.FILE]


async def test_a_wish_of_the_cluster_that_makes_no_sense_here_is_kept_and_failed(world: ProgramWorld) -> None:
    async with world.agent() as programs:
        await programs.set_source(Source.CLUSTER, [user("x", "nothing"), user("y")])
        await until_state(programs, "x", State.FAILED, "NotFound")
        await until_state(programs, "y", State.RUNNING)


async def test_apply_tells_what_it_did(world: ProgramWorld) -> None:
    async with world.agent() as programs:
        kernel = world.kernel_program()
        first = await programs.apply([user(), kernel])
        assert [a.action for a in first] == ["created", "created"]
        again = await programs.apply([user(), kernel])
        assert [a.action for a in again] == ["unchanged", "unchanged"]
        (changed,) = await programs.apply([user(step=7)])
        assert (changed.action, changed.old, changed.new) == ("configured", user(), user(step=7))
        await until(lambda: programs.get(P).generation == 2)
        assert (await until_state(programs, "p", State.RUNNING, "")).spec == user(step=7)


async def test_a_dry_run_changes_nothing(world: ProgramWorld) -> None:
    async with world.agent() as programs:
        (applied,) = await programs.apply([user()], dry_run=True)
        assert applied.action == "created"
        assert programs.observed() == ()
        await programs.apply([user()])
        (deleted,) = await programs.delete([(USER_PROGRAM, P)], dry_run=True)
        assert deleted.action == "deleted"
        assert len(programs.observed()) == 1


async def test_apply_keeps_all_or_none(world: ProgramWorld) -> None:
    async with world.agent() as programs:
        with pytest.raises(InvalidSpec, match="config"):
            await programs.apply([user("a"), user("b", mood=1)])
        with pytest.raises(InvalidSpec, match="twice"):
            await programs.apply([user("a"), user("a", step=2)])
        assert programs.observed() == ()


async def test_apply_does_not_touch_names_of_other_sources(world: ProgramWorld) -> None:
    async with world.agent() as programs:
        await programs.set_source(Source.FILE, [user()])
        with pytest.raises(NameTaken, match="source file"):
            await programs.apply([user(step=3)])


async def test_delete_waits_until_both_halves_are_gone(world: ProgramWorld) -> None:
    async with world.agent() as programs:
        await programs.apply([user("c", "counter"), world.kernel_program()])
        await until(lambda: world.apps() == ["c", "trace"])
        keys = [(USER_PROGRAM, Name("c")), (KERNEL_PROGRAM, Name("trace")), (USER_PROGRAM, Name("nobody"))]
        assert [a.action for a in await programs.delete(keys)] == ["deleted", "deleted", "absent"]
        assert world.apps() == []
        with pytest.raises(NotFound):
            await programs.delete(keys)


async def test_one_name_may_be_both_kinds(world: ProgramWorld) -> None:
    async with world.agent() as programs:
        await programs.apply([user("c", "counter"), world.kernel_program("c")])
        await until_state(programs, "c", State.RUNNING)
        # The one asked for in its own right is the one whose maps are read.
        assert [(k.spec.name, k.needed_by) for k in programs.kernel()] == [("c", ("c",))]
