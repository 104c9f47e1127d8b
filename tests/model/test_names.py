from __future__ import annotations

from conductor.model.names import near


def test_names_alike_are_offered() -> None:
    assert near("sys_entr", ["sys_enter", "mm_alloc", "sched"]) == "; did you mean sys_enter?"


def test_a_few_names_are_told_when_none_is_alike() -> None:
    assert near("zzz", ["b", "a"]) == "; there are a, b"


def test_many_names_or_none_say_nothing() -> None:
    assert near("zzz", [f"name{n}" for n in range(50)]) == ""
    assert near("zzz", []) == ""
