"""A daemon that forgot what it pinned: those programs run on, are told where the daemon's List shows them, and count nowhere."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from conductor.bpfman.flavour import Flavour
from conductor.model.ids import Name
from tests.real_bpfman.bed import Bed
from tests.real_bpfman.eyes import eventually
from tests.real_bpfman.half import Node, attached

pytestmark = [pytest.mark.kernel, pytest.mark.slow]
TOLD = {Flavour.LOADER: None, Flavour.RUST: 2, Flavour.GO: None}
"""How many can be seen: only the Rust daemon lists what it does not hold. Our loader removes pins without a record."""


def test_programs_that_the_daemon_forgot(bed: Bed) -> None:
    async def story() -> None:
        node = Node(bed)
        wish = node.wish("a", "enter", "exit")
        async with node.agent() as half:
            await half.converge({Name("a"): wish})
            before = set(bed.eyes.programs())
            bed.daemon.end(signal.SIGKILL)
            bed.daemon.place.run("sh", "-c", f"rm -rf {bed.daemon.state}/*")
            await asyncio.to_thread(bed.daemon.start)
            await asyncio.to_thread(
                eventually, lambda: len(attached(half)) == 2 and not set(attached(half)) & before, True, 15
            )
            orphans = set(bed.eyes.programs()) - {f.id for s in half.observed() for f in s.functions}
            assert orphans == (set() if bed.flavour is Flavour.LOADER else before)
            await asyncio.to_thread(eventually, lambda: half.strays.counts()["orphans"], TOLD[bed.flavour], 15)
            os.getpgid(0)
            first = node.counted(half, "a")
            os.getpgid(0)
            assert node.counted(half, "a") > first
        bed.daemon.lose_pins()

    asyncio.run(story())
