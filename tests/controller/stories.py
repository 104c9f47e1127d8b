"""What the stories that tests tell about the controller have in common."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeAlias

from conductor.model.fleet import FLEET_EVENTS, KERNEL_PROGRAM, USER_PROGRAM, FleetKey
from tests.controller.stage import Stage
from tests.fakes.cluster_connection import FakeServer

__all__ = ["KP", "UP", "Story", "Tell", "events"]

Story: TypeAlias = Callable[[Stage, FakeServer], Awaitable[None]]
Tell: TypeAlias = Callable[[Story], None]
UP, KP = FleetKey(USER_PROGRAM, "tool"), FleetKey(KERNEL_PROGRAM, "tool")


async def events(stage: Stage) -> list[tuple[str, str, str]]:
    """Reason, type and note of all events, sorted."""
    found = await stage.admin.list(FLEET_EVENTS, lambda event: event)
    return sorted((item["reason"], item["type"], item["note"]) for item in found.rows.values())
