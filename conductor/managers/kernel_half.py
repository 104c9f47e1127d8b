"""The kernel halves of all tools: wished, loaded, attached, healed. Sole writer of kernel programs.

One worker does everything that changes the kernel, one action at a time: it reads what the daemon holds, plans, acts
and reads again until nothing is left to do. It is woken by new wishes, by the road, by interfaces and by time.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Self

from conductor.errors import ConductorError, KernelAway, NotFound
from conductor.managers.cluster_pods import NoCluster
from conductor.managers.kernel_counters import KernelCounters
from conductor.managers.kernel_entries import Entries, Entry, KernelWish, Wish
from conductor.managers.kernel_hands import KernelHands
from conductor.managers.kernel_maps import functions_of, open_granted
from conductor.managers.kernel_pass import KernelPass, ObjectFiles
from conductor.managers.kernel_records import LinkRecords
from conductor.managers.kernel_refusals import Refusals
from conductor.managers.kernel_runs import KernelRuns
from conductor.managers.kernel_strays import Strays
from conductor.managers.kernel_tasks import Announcer, beside
from conductor.model.events import Event, RoadChanged
from conductor.model.grants import MapGrant
from conductor.model.ids import Name, ProgramId
from conductor.model.kernel import KernelProgramSpec
from conductor.model.status import KernelStatus
from conductor.plan.kernel_links import needs_containers, needs_interfaces
from conductor.plan.kernel_pods import named
from conductor.ports import Containers, InterfaceSource, Kernel, MapHandle, MapLayouts, MapOpener, PodSource

__all__ = ["KernelHalf", "KernelWish", "ObjectFiles"]

log = logging.getLogger(__name__)

RESYNC_SECONDS = 30.0
"""How often the daemon is asked whether all is as it was left."""
SHORTEST_SECONDS = 0.05
"""Between two looks that only time asked for."""
GRACE_SECONDS = 3.0
"""How long stopping waits for the action under way: an Attach cut short makes its program doubtful."""
SETTLE_SECONDS = 0.1
"""Interfaces change in bursts; one look after the burst is enough."""


class KernelHalf:
    """Own every kernel program of this node; nothing else calls load, attach, detach or unload."""

    def __init__(
        self,
        *,
        kernel: Kernel,
        open_map: MapOpener,
        entries: Entries,
        work: KernelPass,
        refusals: Refusals,
        pods: PodSource,
        counters: KernelCounters,
        strays: Strays,
        publish: Callable[[Event], Awaitable[None]],
        resync: float,
    ) -> None:
        self._kernel, self._open = kernel, open_map
        self._runs = KernelRuns(kernel=kernel)
        self._entries, self._pass, self.counters, self.strays = entries, work, counters, strays
        self._refusals, self._pods = refusals, pods
        self._publish, self._resync = publish, resync
        self._desired: Mapping[Name, Wish] | None = None
        self._asked = self._tried = 0
        self._moved = asyncio.Condition()
        self._wake = asyncio.Event()
        self._road_came = False
        self._moved_for: set[Callable[[KernelProgramSpec], bool]] = set()
        """Which programs something outside changed for."""
        self._busy = asyncio.Lock()
        self._stopping = False

    @property
    def links_left_out(self) -> int:
        """Links into containers that stand nowhere, because their programs have all that one may have."""
        return self._pass.left_out

    @classmethod
    @asynccontextmanager
    async def running(
        cls,
        *,
        kernel: Kernel,
        open_map: MapOpener,
        objects: ObjectFiles,
        records: Path,
        boot_id: str,
        owner: str,
        interfaces: InterfaceSource,
        containers: Containers,
        publish: Callable[[Event], Awaitable[None]],
        clock: Callable[[], float],
        layouts: MapLayouts | None = None,
        netns: str | None = None,
        pods: PodSource | None = None,
        resync: float = RESYNC_SECONDS,
        jitter: Callable[[], float] = random.random,
    ) -> AsyncIterator[Self]:
        """Work while the body runs. Leaving it touches nothing that is loaded: a later agent adopts it.

        `layouts` tells whether a new version may take over maps; without it the daemon compares types and sizes.
        `netns` is where links go that name no network namespace; None: the daemon's own. `pods` are those of this
        node; None: no cluster tells of any.
        """
        counters, pods = KernelCounters(), pods or NoCluster()
        announcer = Announcer(publish=publish)
        now = asyncio.get_running_loop().time
        entries = Entries(clock=clock, now=now, jitter=jitter, changed=announcer.mark)
        kept = LinkRecords(path=records, boot_id=boot_id)
        kept.load()
        strays, refusals = Strays(kernel=kernel, owner=owner), Refusals(now=now, jitter=jitter)
        hands = KernelHands(
            kernel=kernel,
            containers=containers,
            records=kept,
            owner=owner,
            boot_id=boot_id,
            layouts=layouts,
            counters=counters,
            note=entries.note,
            remark=entries.remark,
            strays=strays,
        )
        self = cls(
            kernel=kernel,
            open_map=open_map,
            entries=entries,
            work=KernelPass(
                entries=entries,
                hands=hands,
                records=kept,
                objects=objects,
                interfaces=interfaces,
                containers=containers,
                pods=pods,
                refusals=refusals,
                counters=counters,
                netns=netns,
            ),
            refusals=refusals,
            pods=pods,
            counters=counters,
            strays=strays,
            publish=publish,
            resync=resync,
        )
        tasks = {
            "kernel half": self._work(),
            "kernel half: announcer": announcer.run(),
            "kernel half: road": self._watch_road(),
            "kernel half: interfaces": self._watch(interfaces.changes, "interfaces", needs_interfaces),
            "kernel half: containers": self._watch(containers.changes, "containers", needs_containers),
            "kernel half: pods": self._watch(pods.changes, "pods", needs_containers),
            "kernel half: strays": strays.run(),
        }
        async with beside(tasks, before_end=self._stop):
            yield self

    # --- three verbs ----------------------------------------------------------------------------------------------

    def observed(self) -> tuple[KernelStatus, ...]:
        """Tell how every wished kernel program stands; with its runs, as of the last `run_costs`."""
        pods = self._pods.seen()
        return tuple(self._runs.on(named(entry.status(), pods)) for entry in self._entries)

    async def converge(self, desired: Mapping[Name, Wish]) -> None:
        """Make the kernel as wished; return when each wish was tried once. Being cancelled stops nothing.

        Raises `KernelAway` when the agent is stopping.
        """
        self._desired = dict(desired)
        self._asked += 1
        self._wake.set()
        await self._tried_once(self._asked)

    async def settled(self, name: Name) -> KernelStatus:
        """Wait for an outcome of the present wish. Raises `NotFound`."""
        await self._tried_once(self._asked)
        return self._entry(name).status()

    # --- what others need to know -----------------------------------------------------------------------------------

    def open_map(self, grant: MapGrant) -> MapHandle:
        """Open a granted map; the caller closes it. Raises `NotFound`, `MapMissing`, `NotAllowed`."""
        return open_granted(grant, functions_of(grant, self.observed()), self._open)

    def program_of(self, grant: MapGrant) -> ProgramId | None:
        """Kernel id of the program that a grant names; None while it is not loaded. Raises `NotFound`."""
        functions = functions_of(grant, self.observed())
        return functions[0].id if functions else None

    async def run_costs(self) -> Mapping[Name, tuple[float, int]] | None:
        """Seconds run and number of runs by kernel program; None where nobody serves them."""
        runs = await self._runs.read()
        if runs is None:
            return None
        costs = {}
        for status in self.observed():
            told = [runs[function.id] for function in status.functions if function.id in runs]
            if told:
                costs[status.spec.name] = (sum(seconds for seconds, _ in told), sum(count for _, count in told))
        return costs

    async def log(self, name: Name) -> tuple[str, ...]:
        """What was done to a program and said of it, the verifier's log of the last refusal last. Raises `NotFound`."""
        entry = self._entry(name)
        return (*entry.journal, *entry.verifier)

    def _entry(self, name: Name) -> Entry:
        entry = self._entries.get(name)
        if entry is None:
            raise NotFound(f"no kernel program is called {name}; `conductor kernel list` shows those that are")
        return entry

    # --- the worker -------------------------------------------------------------------------------------------------

    async def _tried_once(self, asked: int) -> None:
        async with self._moved:
            await self._moved.wait_for(lambda: self._tried >= asked or self._stopping)
        if self._tried < asked:
            raise KernelAway("the agent is stopping; the wish is kept and tried by the next one")

    async def _work(self) -> None:
        while True:
            await self._pause()
            if self._desired is None or self._stopping:
                continue
            async with self._busy:
                asked = self._asked
                await self._pass_once(self._desired)
            async with self._moved:
                self._tried = asked
                self._moved.notify_all()

    async def _pass_once(self, desired: Mapping[Name, Wish]) -> None:
        self.counters.passes += 1
        if self._road_came:
            self._entries.hurry()
            self._refusals.hurry()
        for concerned in self._moved_for:
            self._entries.hurry(only=concerned)
        self._road_came, self._moved_for = False, set()
        self._entries.wish(desired)
        await self._pass.run(lambda: self._stopping)

    async def _pause(self) -> None:
        """Sleep until there is something to look at."""
        due = self._entries.next_due()
        now = asyncio.get_running_loop().time()
        wait = self._resync if due is None else min(self._resync, max(SHORTEST_SECONDS, due - now))
        try:
            async with asyncio.timeout(wait):
                await self._wake.wait()
        except TimeoutError:
            return
        self._wake.clear()

    async def _watch_road(self) -> None:
        was_connected: bool | None = None
        async for status in self._kernel.connection():
            if status.connected:
                self._road_came = True
                self._wake.set()
                self.strays.look_again()
            if status.connected is not was_connected:
                was_connected = status.connected
                await self._publish(RoadChanged(connected=status.connected))

    async def _watch(
        self, changes: Callable[[], AsyncIterator[None]], what: str, needs: Callable[[KernelProgramSpec], bool]
    ) -> None:
        while True:
            try:
                async for _ in changes():
                    await asyncio.sleep(SETTLE_SECONDS)
                    if any(needs(entry.wish.spec) for entry in self._entries):
                        self._moved_for.add(needs)
                        self._wake.set()
            except ConductorError as error:
                log.warning("%s cannot be watched, they are looked at every %g s: %s", what, self._resync, error)
            await asyncio.sleep(self._resync)

    async def _stop(self) -> None:
        """Let the action under way end; begin no other."""
        self._stopping = True
        try:
            async with asyncio.timeout(GRACE_SECONDS), self._busy:
                pass
        except TimeoutError:
            log.warning("an action on the kernel did not end within %g s; the next agent looks after it", GRACE_SECONDS)
        async with self._moved:
            self._moved.notify_all()
