"""The controller's life: watch, wait for keys, read, decide, act; until leadership ends."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection
from functools import partial

from conductor.controller.counts import ControllerCounts
from conductor.controller.hands import Hands
from conductor.controller.images import Digests, Resolver
from conductor.controller.known import NODE, Known
from conductor.controller.pace import Pace
from conductor.controller.queue import KeyQueue
from conductor.controller.watches import Watches
from conductor.errors import ConductorError, LeadershipLost
from conductor.model.fleet import FleetKey
from conductor.plan.fleet import FleetPlan, lacking, plan
from conductor.plan.fleet_actions import FleetAction, WriteStatus
from conductor.plan.fleet_revisions import target_of
from conductor.ports import Cluster

__all__ = ["control"]

log = logging.getLogger(__name__)
STATUS_EVERY = 1.0
"""Seconds between two statuses of a program that differ in counts alone; more where there are many programs."""
COUNTS_PER_SECOND = 10
"""Such statuses, of all programs."""
REREAD_AFTER = 1.0
NODES_AT_ONCE = 100
"""Nodes that one pass writes: about 2 s of it, after which what went wrong meanwhile is looked at."""
MUCH = 50_000
"""Programs times nodes whose decision is made beside the loop: about 30 ms of it."""


async def control(
    cluster: Cluster,
    *,
    namespace: str,
    node: str,
    images: Digests,
    wall: Callable[[], float] = time.time,
    counts: ControllerCounts | None = None,
    writes_per_second: float = 50.0,
    bytes_per_second: float = 1 << 20,
) -> None:
    """Lead the fleet over a fenced cluster until cancelled; nothing is kept between two leaders but the cluster.

    Revisions live in `namespace`; `node` is named in events; `wall` is Unix time. Raises `LeadershipLost`.
    """
    counts = counts if counts is not None else ControllerCounts()
    pace = Pace(counts=counts, writes_per_second=writes_per_second, bytes_per_second=bytes_per_second)
    known = Known(wall=wall)
    hands = Hands(cluster=cluster, namespace=namespace, node=node, known=known, pace=pace, counts=counts)
    queue = KeyQueue(counts=counts)
    lost: BaseExceptionGroup[LeadershipLost] | None = None
    try:
        async with asyncio.TaskGroup() as group:
            resolver = Resolver(
                cluster=cluster,
                namespace=namespace,
                digests=images,
                known=known,
                queue=queue,
                counts=counts,
                group=group,
            )
            watches = Watches(cluster=cluster, namespace=namespace, known=known, queue=queue, counts=counts)
            await watches.begin(group)
            log.info("the fleet is known: %d nodes, %d programs", len(known.nodes), len(known.programs))
            controller = _Controller(known=known, hands=hands, queue=queue, resolver=resolver, counts=counts, wall=wall)
            await controller.run()
    except* LeadershipLost as group_lost:
        lost = group_lost
    if lost is not None:
        raise LeadershipLost(str(_first(lost)))


def _first(group: BaseExceptionGroup[LeadershipLost]) -> BaseException:
    first: BaseException = group
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    return first


class _Controller:
    """One pass after the other."""

    def __init__(
        self,
        *,
        known: Known,
        hands: Hands,
        queue: KeyQueue,
        resolver: Resolver,
        counts: ControllerCounts,
        wall: Callable[[], float],
    ) -> None:
        self._known, self._hands, self._queue, self._resolver = known, hands, queue, resolver
        self._counts, self._wall = counts, wall
        self._said: dict[FleetKey, float] = {}
        """When a program's status was written last."""
        self._in_doubt = False

    async def run(self) -> None:
        """Look at keys as they are due, for ever."""
        while True:
            await self._pass(await self._queue.batch())

    async def _pass(self, keys: set[FleetKey]) -> None:
        """Read, decide and act for these keys, once."""
        try:
            self._queue.add(await self._hands.reread())
        except ConductorError as exc:
            log.log(
                logging.DEBUG if self._in_doubt else logging.WARNING, "what was written cannot be read yet: %s", exc
            )
            self._in_doubt = True
            self._queue.add(keys, after=REREAD_AFTER)
            return
        self._in_doubt = False
        programs = {key for key in keys if key.kind != NODE}
        await self._resolver.begin(lacking(self._known.world(), programs))
        decided = await self._decided(programs, {key.name for key in keys if key.kind == NODE})
        self._forget(programs)
        for key, moment in decided.later.items():
            self._queue.add([key], after=max(0.0, moment - self._wall()))
        touched, failed = await self._hands.perform(self._due(decided.actions))
        nodes = {FleetKey(NODE, name) for name in decided.more_nodes}
        self._queue.add(touched | (decided.more | nodes) - failed)
        for key in failed:
            self._queue.failed(key)
        for key in keys - failed:
            self._queue.done(key)

    async def _decided(self, programs: Collection[FleetKey], nodes: Collection[str]) -> FleetPlan:
        began = time.perf_counter()
        decide = partial(plan, now=self._wall(), programs=programs, nodes=nodes, most=NODES_AT_ONCE)
        if len(programs) * len(self._known.nodes) > MUCH:
            # The agent's loop goes on meanwhile; what changes during the decision is found by guarded writes.
            decided = await asyncio.to_thread(decide, self._known.world().copied())
        else:
            decided = decide(self._known.world())
        took = time.perf_counter() - began
        self._counts.passes += 1
        self._counts.pass_seconds += took
        self._counts.longest_pass = max(self._counts.longest_pass, took)
        self._known.crowded = self._known.crowded.difference(programs) | decided.crowded
        return decided

    def _due(self, actions: Collection[FleetAction]) -> list[FleetAction]:
        """Leave out statuses that would come too often: their turn is later."""
        return [action for action in actions if not isinstance(action, WriteStatus) or self._may_say(action)]

    def _may_say(self, action: WriteStatus) -> bool:
        """Whether a status goes now; one that differs in counts alone waits."""
        now = asyncio.get_running_loop().time()
        every = max(STATUS_EVERY, len(self._known.programs) / COUNTS_PER_SECOND)
        left = self._said.get(action.key, float("-inf")) + every - now
        if left > 0 and not action.urgent:
            self._counts.deferred += 1
            self._queue.add([action.key], after=left)
            return False
        self._said[action.key] = now
        return True

    def _forget(self, programs: Collection[FleetKey]) -> None:
        """Drop what was only needed until a revision was there: a wish holds a whole object."""
        world = self._known.world()
        for key in programs:
            row = world.programs.get(key)
            if row is None:
                self._said.pop(key, None)
            elif (target := target_of(row, world)) and target.spec_hash == row.spec_hash:
                self._known.wishes.pop(key, None)
