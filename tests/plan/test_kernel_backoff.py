"""How long to wait before trying again."""

from __future__ import annotations

from conductor.plan.backoff import delay


def test_wait_doubles_up_to_a_bound() -> None:
    assert [delay(n, 0.0, first=0.5, longest=3.0) for n in (1, 2, 3, 4, 100_000)] == [0.5, 1.0, 2.0, 3.0, 3.0]


def test_jitter_cuts_at_most_a_half() -> None:
    assert delay(1, 1.0, first=2.0) == 1.0
