"""When what failed is tried again."""

from __future__ import annotations

import pytest

from conductor.errors import ConductorError, ImageNotFound, ImageUntrusted, MapMismatch, RegistryAway, RegistryRefused
from conductor.plan.backoff import HOPELESS_SECONDS, pause_after


@pytest.mark.parametrize(
    ("error", "pauses"),
    [
        (RegistryAway("x"), [0.5, 1.0, 2.0, 60.0]),
        (ImageUntrusted("x"), [10.0, 20.0, 40.0, 300.0]),
        (ImageNotFound("x"), [10.0, 20.0, 40.0, 300.0]),
        (RegistryRefused("x"), [10.0, 20.0, 40.0, 300.0]),
        (MapMismatch("x"), [HOPELESS_SECONDS] * 4),
    ],
    ids=lambda value: type(value).__name__,
)
def test_time_heals_soon_a_registry_later_a_wish_hardly(error: ConductorError, pauses: list[float]) -> None:
    assert [pause_after(error, failures, 0.0) for failures in (1, 2, 3, 50)] == pauses
