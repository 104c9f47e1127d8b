"""Sections of a module: cut, replaced, refused where the bytes end too early."""

from __future__ import annotations

import pytest

from conductor.errors import ObjectUnreadable
from conductor.wasm.sections import HEADER, custom_section, is_component, sections, with_custom


def test_a_custom_section_is_there_once_however_often_it_is_written() -> None:
    module = HEADER + custom_section("name", b"kept")
    twice = with_custom(with_custom(module, "needs", b"old"), "needs", b"new")
    assert [(section.name, section.content) for section in sections(twice)] == [("name", b"kept"), ("needs", b"new")]


def test_a_section_longer_than_127_bytes_comes_back() -> None:
    assert [section.content for section in sections(HEADER + custom_section("x", bytes(300)))] == [bytes(300)]


def test_a_cut_module_is_unreadable_at_every_length_but_the_header() -> None:
    whole = with_custom(HEADER, "needs", b"{}")
    for size in set(range(len(whole))) - {len(HEADER)}:
        with pytest.raises(ObjectUnreadable):
            tuple(sections(whole[:size]))


def test_a_number_without_end_is_refused() -> None:
    with pytest.raises(ObjectUnreadable, match="too long"):
        tuple(sections(HEADER + b"\0" + b"\xff" * 6))


def test_a_component_is_told_from_a_module() -> None:
    assert is_component(b"\0asm\x0d\0\1\0")
    assert not is_component(HEADER)
