"""Slots for keys: stable, one each, also for keys that end in zeros."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from conductor.builtin.kit.keys import KeyTable

KEYS = st.lists(st.binary(min_size=4, max_size=4), unique=True)


def test_the_same_key_has_the_same_slot() -> None:
    table = KeyTable(width=4)
    assert table.slots(b"bbbbaaaa").tolist() == [0, 1]
    assert table.slots(b"aaaaccccbbbb").tolist() == [1, 2, 0]
    assert len(table) == 3


def test_zeros_at_the_end_tell_keys_apart() -> None:
    table = KeyTable(width=4)
    assert table.slots(b"a\0\0\0" + b"a\0\0b" + b"\0\0\0\0" + b"\0\0\0a").tolist() == [0, 1, 2, 3]
    assert table.raw() == b"a\0\0\0" + b"a\0\0b" + b"\0\0\0\0" + b"\0\0\0a"


@given(st.lists(KEYS, min_size=1, max_size=8))
def test_it_answers_as_a_dictionary_does(readings: list[list[bytes]]) -> None:
    table, expected = KeyTable(width=4), dict[bytes, int]()
    for keys in readings:
        for key in keys:
            expected.setdefault(key, len(expected))
        assert table.slots(b"".join(keys)).tolist() == [expected[key] for key in keys]
        assert table.raw() == b"".join(expected)


@given(KEYS, st.data())
def test_dropped_slots_are_numbered_anew(keys: list[bytes], data: st.DataObject) -> None:
    table = KeyTable(width=4)
    table.slots(b"".join(keys))
    kept = np.array([data.draw(st.booleans()) for _ in keys], np.bool_)
    table.keep(kept)
    left = [key for key, stays in zip(keys, kept.tolist(), strict=True) if stays]
    assert table.raw() == b"".join(left)
    assert table.slots(b"".join(left)).tolist() == list(range(len(left)))
