"""Many simulated agents in one process: `python -m bench.fleet_crowd`, told by lines of JSON who they are.

They share a loop, TLS settings and connections for what is not a watch; each has its own token and its own watch.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, fields
from typing import Self

import aiohttp

from bench.fleet_agent import SimulatedAgent
from conductor.kube.access import Access
from conductor.kube.https import Https

BEGINNING = 40
"""Watches that are opened at once: a server's handshakes cost it most."""
LONGEST_LINE = 64 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What agents heard and said so far, all together."""

    stream_bytes: int = 0
    events: int = 0
    statuses: int = 0
    conflicts: int = 0
    """Statuses that were refused, as the leader had written meanwhile; tried again where something was left to say."""
    most_statuses: int = 0
    """Of one node for one spec write."""

    def __add__(self, other: Heard) -> Heard:
        return self._with(other, 1)

    def __sub__(self, other: Heard) -> Heard:
        return self._with(other, -1)

    def _with(self, other: Heard, sign: int) -> Heard:
        summed = {field.name: getattr(self, field.name) + sign * getattr(other, field.name) for field in fields(self)}
        return Heard(**summed | {"most_statuses": max(self.most_statuses, other.most_statuses)})


class Crowd:
    """A process of simulated agents, from outside."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.pid = process.pid

    @classmethod
    @asynccontextmanager
    async def running(cls, *, server: str, authority: str, tokens: Sequence[tuple[str, str]]) -> AsyncIterator[Self]:
        """Have agents, by node and token, all of whose watches are open; they end with the body."""
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "bench.fleet_crowd", stdin=pipe, stdout=pipe, limit=LONGEST_LINE
        )
        try:
            self = cls(process)
            await self._asked({"server": server, "authority": authority, "tokens": tokens})
            yield self
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()

    async def heard(self) -> Heard:
        """Answer what they heard and said."""
        return Heard(**await self._asked({}))

    async def _asked(self, question: dict[str, object]) -> dict[str, int]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(question).encode() + b"\n")
        await self._process.stdin.drain()
        line = await self._process.stdout.readline()
        if not line:
            raise SystemExit("a process of simulated agents ended")
        answer: dict[str, int] = json.loads(line)
        return answer


async def main() -> None:
    """Be the agents that the first line names; answer each further line by what they heard."""
    given = json.loads(await asyncio.to_thread(sys.stdin.readline))
    trust = ssl.create_default_context(cafile=given["authority"])
    connector = aiohttp.TCPConnector(limit=0, ssl=trust)
    async with aiohttp.ClientSession(connector=connector) as session, asyncio.TaskGroup() as group:
        agents = []
        for node, token in given["tokens"]:
            access = Access(server=given["server"], token=token)
            agents.append(SimulatedAgent(node=node, transport=Https(access=access, session=session, proxy="")))
        tasks = []
        for begin in range(0, len(agents), BEGINNING):
            these = agents[begin : begin + BEGINNING]
            tasks += [group.create_task(agent.run(), name=agent.node) for agent in these]
            for agent in these:
                await agent.synced.wait()
        _say({})
        while await asyncio.to_thread(sys.stdin.readline):
            _say(asdict(_heard(agents)))
        for task in tasks:
            task.cancel()


def _heard(agents: Sequence[SimulatedAgent]) -> Heard:
    return Heard(
        stream_bytes=sum(agent.transport.stream_bytes for agent in agents),
        events=sum(agent.counts.events for agent in agents),
        statuses=sum(agent.transport.statuses.total() for agent in agents),
        conflicts=sum(agent.reporter.counts.conflicts for agent in agents),
        most_statuses=max((most for agent in agents for most in agent.transport.statuses.values()), default=0),
    )


def _say(answer: dict[str, int]) -> None:
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
