"""Records of one size are seen by one comparison: as the walker sees them, or not at all."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from conductor.wasm.engine import Engine
from conductor.wasm.runs import LEAST_BYTES, run_of
from conductor.wasm.walker import COPY_BYTES, Walker

BUSY, DISCARD = 1 << 31, 1 << 30


@pytest.fixture(scope="module")
def walker() -> Iterator[Walker]:
    engine = Engine.made()
    walker = Walker(engine=engine)
    walker.open()
    yield walker
    walker.close()
    engine.close()


def ring(headers: list[int]) -> NDArray[np.uint32]:
    """Memory with these records, one after the other; their data looks like headers too."""
    words: list[int] = []
    for header in headers:
        length = header & ~(BUSY | DISCARD)
        words += [header, 0, *[header] * ((length + 7 & ~7) // 4)]
    return np.array(words, np.uint32)


def test_alike_records_are_one_run() -> None:
    words = ring([64] * 1000)
    run = run_of(words, 0, words.nbytes)
    assert run is not None
    assert (run.stride, run.count) == (72, 1000)


def test_a_busy_record_ends_the_run() -> None:
    words = ring([64] * 700 + [64 | BUSY] + [64] * 99)
    run = run_of(words, 0, words.nbytes)
    assert run is not None
    assert run.count == 700


@pytest.mark.parametrize("headers", [[64, 60] * 500, [64 | BUSY] * 500, [64 | DISCARD] * 500, [64] * 100 + [8] * 5000])
def test_anything_else_is_the_walkers(headers: list[int]) -> None:
    words = ring(headers)
    assert run_of(words, 0, words.nbytes) is None


def test_few_records_are_the_walkers() -> None:
    words = ring([64] * 10)
    assert run_of(words, 0, words.nbytes) is None


def test_records_larger_than_a_piece_are_told_one_by_one() -> None:
    words = ring([20_000] * 3)
    run = run_of(words, 0, words.nbytes)
    assert run is not None
    assert run.pieces(4096) == [(0, 20_008, -1), (20_008, 40_016, -1), (40_016, 60_024, -1)]


@settings(max_examples=60, deadline=None)
@given(
    length=st.integers(0, 9000),
    count=st.integers(1, 4000),
    strange=st.none() | st.tuples(st.integers(0, 3999), st.sampled_from([BUSY, DISCARD, 8])),
    cut_off=st.integers(0, 200),
    most=st.integers(512, 70_000).map(lambda most: most & ~7),
)
def test_a_run_is_what_the_walker_would_find(
    walker: Walker, *, length: int, count: int, strange: tuple[int, int] | None, cut_off: int, most: int
) -> None:
    count = max(1, min(count, (COPY_BYTES - 8) // (length + 15)))
    headers = [length] * count
    if strange and strange[0] < count:
        headers[strange[0]] ^= strange[1]
    words = ring(headers)
    size = max(8, min(words.nbytes, COPY_BYTES) - 8 * cut_off)
    run = run_of(words, 0, size)
    if run is None:
        return
    walked = walker.survey(words.ctypes.data, size)
    assert size >= LEAST_BYTES
    assert run.size <= walked.size
    if not strange or strange[1] == BUSY:
        assert run.size == walked.size
        assert run.pieces(most) == walked.pieces(most)
