"""Whatever happens to assignments, API server and agent: in the end runs what was assigned last, and is told so."""

from __future__ import annotations

import asyncio
import random
from contextlib import AsyncExitStack

import pytest

from conductor.model.program import Source
from tests.managers.program_world import until
from tests.node.world import NodeWorld

STEPS = 25


class Storm:
    """A random course of events."""

    def __init__(self, world: NodeWorld, seed: int) -> None:
        self.world, self.random = world, random.Random(seed)
        self.is_away = False

    def some(self) -> dict[str, int]:
        """A set of programs, each with a version."""
        return {name: self.random.randrange(3) for name in ("a", "b", "c") if self.random.random() < 0.6}

    def assign(self, wanted: dict[str, int], *, traced: bool) -> None:
        programs = [self.world.user(name, interval=1 + version) for name, version in wanted.items()]
        self.world.assign(*programs, *([self.world.kernel("trace")] if traced else []))

    async def blow(self, stack: AsyncExitStack) -> None:
        """Let one thing happen."""
        match self.random.choice(
            ["assign", "assign", "assign", "drop", "away", "break", "restart", "compact", "foreign"]
        ):
            case "assign":
                self.assign(self.some(), traced=self.random.random() < 0.5)
            case "drop":
                self.world.ask("DELETE", "/apis/ebpfconductor.io/v1alpha1/nodestates/n1", may_fail=True)
            case "away":
                (self.world.server.start if self.is_away else self.world.server.stop)()
                self.is_away = not self.is_away
            case "break":
                self.world.server.break_streams()
            case "compact":
                self.world.server.api.compact()
            case "foreign":
                path = "/apis/ebpfconductor.io/v1alpha1/nodestates/n1"
                labels = {"at": str(self.random.random())}
                self.world.ask("PATCH", path, {"metadata": {"labels": labels}}, may_fail=True)
            case _:
                await stack.aclose()
                await stack.enter_async_context(self.world.running())
        await asyncio.sleep(self.random.choice([0.0, 0.0, 0.01, 0.1]))


@pytest.mark.parametrize("seed", range(4))
async def test_after_a_storm_all_is_as_was_assigned_last(world: NodeWorld, seed: int) -> None:
    storm = Storm(world, seed)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(world.running())
        for _ in range(STEPS):
            await storm.blow(stack)
        world.server.start()
        wanted, traced = storm.some(), storm.random.random() < 0.5
        storm.assign(wanted, traced=traced)
        rows = dict.fromkeys([*wanted, *(["trace"] if traced else [])], "Running")
        await until(lambda: world.rows() == rows and _is_current(world), seconds=60)
        await stack.aclose()
        programs, node = await stack.enter_async_context(world.running())
        await until(lambda: node.is_connected)
        assert {name for _, name in programs.wishes(Source.CLUSTER)} == rows.keys()
        kept = {path.stem for path in (world.folder / "revisions").glob("*.json")}
        assert kept == {item.revision for item in world.told().spec}


def _is_current(world: NodeWorld) -> bool:
    told = world.told()
    return told.observed_generation == told.generation and [row.hash for row in told.observed] == [
        item.hash for item in told.spec
    ]
