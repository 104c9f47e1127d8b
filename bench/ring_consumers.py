"""Who takes the records of the ring buffer bench: a guest in this process, or a C program through libbpf."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Protocol, Self

from bench.wasm_host import Bench
from conductor.bpf.maps import open_map
from conductor.model.grants import Access
from conductor.model.program import Limits
from conductor.wasm.instance import WasmInstance

__all__ = ["Consumer", "Ours", "Theirs", "said"]

VALUE = 3
"""What every record holds in the field that is summed."""
LIMITS = Limits(cpu=4.0, cpu_call=10.0)
"""More CPU than by default; the inbox stays as it is."""
PATIENCE = 20.0


class Consumer(Protocol):
    """Takes everything, counts and sums."""

    async def expect(self, records: int) -> None:
        """Be told how many come next."""
        ...

    async def last(self) -> tuple[float, float]:
        """Wait for the last of them; answer its time in monotonic nanoseconds, and CPU nanoseconds since `expect`."""
        ...

    async def books(self) -> tuple[int, int]:
        """Wait until nothing comes any more; answer records delivered and dropped so far, after a look at the sum."""
        ...


class Ours:
    """The guest ring_sum."""

    def __init__(self, *, bench: Bench, instance: WasmInstance) -> None:
        self._bench, self._instance = bench, instance
        self._target = self._cpu = 0

    @classmethod
    @asynccontextmanager
    async def opened(cls, bench: Bench, guest: Path, ring: Path) -> AsyncIterator[Self]:
        with open_map(ring, Access.CONSUME) as map_:
            instance = await bench.open(guest, {"events": map_}, access=Access.CONSUME, limits=LIMITS)
            yield cls(bench=bench, instance=instance)
            await instance.close()

    async def expect(self, records: int) -> None:
        self._target = self._instance.cost().events_taken + records
        self._cpu = time.process_time_ns()

    async def last(self) -> tuple[float, float]:
        async with asyncio.timeout(PATIENCE):
            while self._instance.cost().events_taken < self._target or self._instance.cost().events_queued:  # noqa: ASYNC110 - other threads work
                await asyncio.sleep(0.02)
        cpu = time.process_time_ns() - self._cpu
        await self.books()
        return (await self._values())["ring_sum_at"], cpu

    async def books(self) -> tuple[int, int]:
        cost, before = self._instance.cost(), None
        while cost != before or cost.events_queued:
            await asyncio.sleep(0.05)
            cost, before = self._instance.cost(), cost
        dropped = sum(cost.events_dropped.values())
        if cost.events_taken != cost.events_delivered + dropped:
            raise SystemExit(f"the ledger does not balance: {cost}")
        if (values := await self._values())["ring_sum_sum"] != cost.events_delivered * VALUE:
            raise SystemExit(f"the guest's sum is not that of {cost.events_delivered} records: {values}")
        return cost.events_delivered, dropped

    async def _values(self) -> dict[str, float]:
        await self._instance.tick()
        return self._bench.values()


class Theirs:
    """ring_reader.c."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._cpu = 0

    @classmethod
    @contextmanager
    def started(cls, program: Path, ring: Path) -> Iterator[Self]:
        with subprocess.Popen([program, ring], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            try:
                yield cls(process)
            finally:
                process.kill()

    async def expect(self, records: int) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{records}\n")
        self._cpu = self._ask()[2]

    async def last(self) -> tuple[float, float]:
        assert self._process.stdout is not None
        at = int(self._process.stdout.readline().split()[0])
        return at, self._ask()[2] - self._cpu

    async def books(self) -> tuple[int, int]:
        words, before = self._ask(), [0]
        while words[0] != before[0]:
            await asyncio.sleep(0.05)
            words, before = self._ask(), words
        if words[1] != words[0] * VALUE:
            raise SystemExit(f"the reader's sum is not that of its records: {words}")
        return words[0], 0

    def _ask(self) -> list[int]:
        return [int(word) for word in said(self._process, "0")]


def said(process: subprocess.Popen[str], word: str) -> list[str]:
    """Say a line to a program and answer the words of the line it says back."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{word}\n")
    process.stdin.flush()
    return process.stdout.readline().split()
