"""Wishes of several sources become one set."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from conductor.model.ids import Name
from conductor.model.manifest import KERNEL_PROGRAM, USER_PROGRAM
from conductor.model.program import BuiltinSource, Source, UserProgramSpec
from conductor.model.status import State
from conductor.plan.merge import Key, Wish, merge, name_taken

KEYS = st.tuples(st.sampled_from([KERNEL_PROGRAM, USER_PROGRAM]), st.sampled_from("abcdef").map(Name))
WORLDS = st.dictionaries(st.sampled_from(Source), st.sets(KEYS))


def wish(name: str, builtin: str = "x") -> Wish:
    return Wish(spec=UserProgramSpec(name=Name(name), source=BuiltinSource(name=builtin)))


def wishes(world: dict[Source, set[Key]]) -> dict[Source, dict[Key, Wish]]:
    return {source: {key: wish(key[1], source.word) for key in keys} for source, keys in world.items()}


def test_cluster_before_file_before_grpc() -> None:
    key = (USER_PROGRAM, Name("a"))
    all_three = {source: {key: wish("a", source.word)} for source in reversed(Source)}
    merged = merge(all_three)
    assert merged.held[key].source is Source.CLUSTER
    assert [(r.source, r.holder) for r in merged.refused] == [
        (Source.FILE, Source.CLUSTER),
        (Source.GRPC, Source.CLUSTER),
    ]


def test_the_kinds_do_not_share_names() -> None:
    merged = merge(wishes({Source.GRPC: {(USER_PROGRAM, Name("a"))}, Source.FILE: {(KERNEL_PROGRAM, Name("a"))}}))
    assert len(merged.held) == 2
    assert merged.refused == ()


def test_who_lost_is_told_who_holds_it() -> None:
    key = (USER_PROGRAM, Name("a"))
    (refused,) = merge({Source.FILE: {key: wish("a")}, Source.GRPC: {key: wish("a")}}).refused
    condition = name_taken(refused, 5.0)
    assert (condition.state, condition.reason, condition.since) == (State.FAILED, "NameTaken", 5.0)
    assert "held by source file" in condition.message


@given(WORLDS)
def test_every_wish_is_held_or_refused_exactly_once(world: dict[Source, set[Key]]) -> None:
    merged = merge(wishes(world))
    held = [(one.source, key) for key, one in merged.held.items()]
    refused = [
        (one.source, key) for one in merged.refused for key in world[one.source] if one.wish == wish_of(one.source, key)
    ]
    assert set(held) | set(refused) == {(source, key) for source, keys in world.items() for key in keys}
    assert len(held) + len(merged.refused) == sum(map(len, world.values()))


@given(WORLDS, st.randoms())
def test_the_order_of_the_input_does_not_matter(world: dict[Source, set[Key]], rng: random.Random) -> None:
    sources = list(world)
    rng.shuffle(sources)
    again = merge({source: wishes(world)[source] for source in sources})
    assert merge(wishes(world)) == again
    assert list(again.held) == sorted(again.held)


@given(WORLDS, st.sampled_from(Source))
def test_a_source_that_withdraws_all_takes_only_its_own(world: dict[Source, set[Key]], leaving: Source) -> None:
    rest = {source: keys for source, keys in world.items() if source is not leaving}
    after = merge(wishes(rest)).held
    before = merge(wishes(world)).held
    for key, one in before.items():
        if one.source is not leaving:
            assert after[key] == one


def wish_of(source: Source, key: Key) -> Wish:
    return wish(key[1], source.word)
