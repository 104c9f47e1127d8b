"""Numbers are spelled byte for byte as the reference client spells them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.utils import floatToGoString

from conductor.exporter.numbers import go_float, line_ends

EDGES = [
    0.0, -0.0, 1.0, 999.0, 1000.0, 999_999.0, 1e6, 1_000_001.0, 1e15, 1e16, 1e17, 2.0**53, 2.0**53 + 2, 9.1e15, 1e22,
    0.1, 123456.7, 1234567.8, 999999.9999999999, 9999999.999999998, 1763870000.123, 1e-5, 5e-324, 1.7976931348623157e308,
    -1.0, -1e6, -1234567.5, -1e300, float("inf"), float("-inf"), float("nan"),
]  # fmt: skip


def reference(values: list[float]) -> list[bytes]:
    return [f"{floatToGoString(value)}\n".encode() for value in values]  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("value", EDGES, ids=repr)
def test_edges(value: float) -> None:
    assert line_ends(np.array([value])).tolist() == reference([value])


@given(st.lists(st.floats() | st.integers(0, 10**17).map(float) | st.floats(1e5, 1e17)))
def test_any_array(values: list[float]) -> None:
    assert line_ends(np.array(values, np.float64)).tolist() == reference(values)


def test_more_than_one_batch_keeps_its_order() -> None:
    values = np.arange(0.0, 250_000.0, 12.5)
    assert line_ends(values).tolist() == reference(values.tolist())


@given(st.integers(0, 2**53))
def test_whole_numbers_are_exact(value: int) -> None:
    assert int(float(go_float(float(value)))) == value
