"""Leadership as a scope: work runs while the lease is held, and has stopped before it could be another's."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from conductor.errors import LeadershipLost
from conductor.kube.fence import Fence
from conductor.kube.lease import Lease

__all__ = ["lead", "lead_for_ever"]

log = logging.getLogger(__name__)
Work = Callable[[Fence], Awaitable[None]]


async def lead(lease: Lease, work: Work) -> None:
    """Wait for the lease, run `work` while it is ours, and return once both have really stopped.

    Renewing goes on while the work stops after a cancellation of ours; the lease is given back when it has. Work that
    returns is a fault: it raises `RuntimeError`. What the work raises comes out, in a group, after that too.
    """
    try:
        await _while_held(lease, work, await lease.acquired())
    finally:
        await lease.released()


async def lead_for_ever(lease: Lease, work: Work) -> None:
    """Lead again and again; only what the work raises, or a cancellation, ends it."""
    while True:
        await lead(lease, work)


async def _while_held(lease: Lease, work: Work, fence: Fence) -> None:
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(lease.renew_until_lost(fence), name="lease")
            # In this task: losing the lease cancels it, while a cancellation from outside leaves the lease renewed.
            await work(fence)
            if fence.left() > 0:
                raise RuntimeError("the leader's work ended by itself")
    except* LeadershipLost as lost:
        log.warning("leadership lost: %s", lost.exceptions[0])
