"""A Lease that one of several processes holds, by what each observes on its own clock.

Others may take it `seconds` after they first saw its last renewal, which is never before that renewal was sent. So the
holder counts from the moment of sending, stops after two thirds of it, and has a third left to stop in. Nobody's wall
clock is compared with another's.
"""

from __future__ import annotations

import asyncio
import logging
import random
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Protocol

from conductor.errors import AlreadyExists, ClusterConflict, ConductorError, LeadershipLost, NotFound
from conductor.kube.fence import Fence, now
from conductor.kube.lease_record import LeaseRecord, stamp
from conductor.model.cluster import LEASES, Document, Key, Resource

__all__ = ["Lease", "LeaseCounts", "Leases", "identity"]

log = logging.getLogger(__name__)
EAGER = 16
"""Candidates that look often, about, however many there are."""
SELDOM = 4
"""Leases between two looks of the others."""


class Leases(Protocol):
    """The part of a cluster that a lease needs."""

    async def get(self, resource: Resource, name: str, *, namespace: str, within: float) -> Document | None:
        """Read one object."""
        ...

    async def create(self, resource: Resource, document: Document, *, within: float) -> Document:
        """Make one."""
        ...

    async def update(self, resource: Resource, document: Document, *, within: float) -> Document:
        """Replace one as it was read."""
        ...


@dataclass(slots=True)
class LeaseCounts:
    """What happened to a lease here; written by it alone."""

    held: bool = False
    holder: str = ""
    """Whoever was seen to hold it last."""
    transitions: int = 0
    """Times at which it changed hands, by all."""
    acquired: int = 0
    lost: int = 0
    renewals: int = 0
    failures: int = 0
    overran: int = 0
    """Times at which our work had not stopped when another could already lead: its sends were refused."""


def identity(node: str) -> str:
    """Answer `NODE/uid`, another one for each process: what an earlier life held is not ours."""
    return f"{node}/{uuid.uuid4()}"


class Lease:
    """Hold one Lease of the API server while it lasts. One process makes one, with an identity of its own."""

    def __init__(
        self,
        *,
        leases: Leases,
        key: Key,
        identity: str,
        seconds: int = 15,
        wall: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._leases, self._key, self._identity = leases, key, identity
        self._seconds, self._wall = seconds, wall
        self._every = seconds / 6
        """Between two looks or renewals: three can fail before the deadline."""
        self._current: Document | None = None
        self._seen: tuple[LeaseRecord, float] | None = None
        """What was read last, and when its holder's last sign of life was first seen here."""
        self._runs_out = float("-inf")
        """When another one may hold it at the earliest."""
        self._unsure: tuple[str, float] | None = None
        """The last renewal's stamp and when it was sent."""
        self._failing = False
        self._luck = random.random()  # noqa: S311 - spread, not secrecy
        self.candidates = 1
        """How many processes want it, as the holder knows: told in the Lease, so that of many most look seldom."""
        self.counts = LeaseCounts()

    @property
    def identity(self) -> str:
        """Who we are in the Lease."""
        return self._identity

    async def acquired(self) -> Fence:
        """Wait until it is ours; answers the proof, which `renew_until_lost` prolongs."""
        while True:
            try:
                if (sent := await self._tried()) is not None:
                    return self._begun(sent)
            except (ClusterConflict, AlreadyExists, NotFound):
                pass  # another one was faster: look again
            except ConductorError as exc:
                self._failed(exc)
            await self._spread(self._between_looks)

    async def renew_until_lost(self, fence: Fence) -> None:
        """Renew while we lead. Raises `LeadershipLost`, by the fence's end at the latest."""
        try:
            async with asyncio.timeout(max(0.0, fence.left())) as limit:
                pause = self._every
                while True:
                    await self._spread(pause)
                    fence.check()
                    pause = self._every / 2  # what failed is tried again sooner
                    if (sent := await self._renewed(fence)) is not None:
                        pause = max(0.0, sent + self._every - now())  # a slow answer took its part of it
                        self._runs_out = sent + self._seconds
                        fence.prolong(sent + self._steady)
                        limit.reschedule(asyncio.get_running_loop().time() + fence.left())
        except TimeoutError:
            self.counts.lost += 1
            raise LeadershipLost(f"lease {self._key}: it could not be renewed for {self._steady:g} s") from None
        except LeadershipLost:
            self.counts.lost += 1
            raise
        finally:
            fence.close()
            self.counts.held = False

    async def released(self) -> None:
        """Give it back, if it is ours still: the next one need not wait. Says nothing where that fails."""
        if float("-inf") < self._runs_out < now():
            self.counts.overran += 1
            log.error("lease %s: the leader's work stopped only after it had run out", self._key)
        try:
            async with asyncio.timeout(self._every):
                if now() < self._runs_out:
                    await self._given_back()
        except (ConductorError, TimeoutError) as exc:
            log.info("lease %s was not released and runs out by itself: %s", self._key, exc)
        finally:
            self._current = self._seen = None
            self._runs_out = float("-inf")

    async def _given_back(self) -> None:
        for _ in range(2):
            # What we hold is not known after a renewal without an answer, nor what a renewal given up has done.
            self._current = self._current or await self._read(self._every)
            record = LeaseRecord.parse(self._current or {})
            if record.holder != self._identity:
                return
            try:
                await self._write(replace(record, holder="", renewed=stamp(self._wall())), self._every)
            except ClusterConflict:
                self._current = None

    @property
    def _steady(self) -> float:
        """Seconds after a renewal's sending for which we lead; the rest is there to stop in."""
        return self._seconds * 2 / 3

    @property
    def _between_looks(self) -> float:
        """Seconds until a candidate looks again. Of thousands only some look often, by lot: the server answers all."""
        many = self._seen[0].candidates if self._seen else 1
        return self._every if self._luck * many < EAGER else self._seconds * SELDOM

    # --- taking it --------------------------------------------------------------------------------------------------

    async def _tried(self) -> float | None:
        """Take it if nobody holds it; answers when that was sent."""
        self._current = await self._read(self._seconds / 3)
        record = LeaseRecord.parse(self._current or {})
        if self._is_held(record):
            return None
        taken = stamp(self._wall())
        record = LeaseRecord(
            holder=self._identity,
            seconds=self._seconds,
            acquired=taken,
            renewed=taken,
            transitions=record.transitions + (self._current is not None and record.holder != self._identity),
            candidates=self.candidates,
        )
        return await self._write(record, self._seconds / 3)

    def _is_held(self, record: LeaseRecord) -> bool:
        """Whether another one may hold it, as far as was seen here."""
        if self._current is None and self._seen is not None:
            record = self._seen[0]  # it was deleted under its holder, who does not know yet
        if self._seen is None or self._seen[0] != record:
            self._seen = record, now()
        self._noted(record)
        # Our own identity in it is an attempt of ours whose answer was lost.
        return record.holder not in ("", self._identity) and now() < self._seen[1] + max(record.seconds, 1)

    def _begun(self, sent: float) -> Fence:
        self._runs_out = sent + self._seconds
        self.counts.held, self.counts.acquired = True, self.counts.acquired + 1
        log.info("lease %s: %s leads", self._key, self._identity)
        return Fence(until=sent + self._steady)

    # --- keeping it -------------------------------------------------------------------------------------------------

    async def _renewed(self, fence: Fence) -> float | None:
        """Renew once; answers when that was sent, or None where it has to be tried again.

        Raises `LeadershipLost` where another one holds it, or nobody.
        """
        try:
            if self._current is None:
                self._current = await self._read_own(fence)
                if (stamped := self._unsure) and LeaseRecord.parse(self._current).renewed == stamped[0]:
                    return stamped[1]  # a renewal whose answer was lost had arrived
            renewed = stamp(self._wall())
            record = replace(
                LeaseRecord.parse(self._current), renewed=renewed, seconds=self._seconds, candidates=self.candidates
            )
            fence.check()
            self._unsure = renewed, now()
            sent = await self._write(record, self._patience(fence))
        except LeadershipLost:
            raise
        except ConductorError as exc:
            # It was edited or deleted, or it is not known whether we wrote it: what is read next says so.
            self._current = None
            self._failed(exc)
            return None
        self.counts.renewals += 1
        return sent

    async def _read_own(self, fence: Fence) -> Document:
        found = await self._read(self._patience(fence))
        record = LeaseRecord.parse(found or {})
        self._noted(record)
        if found is None or record.holder != self._identity:
            raise LeadershipLost(f"lease {self._key}: {record.holder or 'nobody'} holds it")
        return found

    def _patience(self, fence: Fence) -> float:
        """Seconds for one request: half of what is left, that another fits, but no slow server's answer is missed."""
        return max(fence.left() / 2, min(fence.left(), self._seconds / 3))

    # --- both -------------------------------------------------------------------------------------------------------

    async def _read(self, within: float) -> Document | None:
        return await self._leases.get(LEASES, self._key.name, namespace=self._key.namespace, within=within)

    async def _write(self, record: LeaseRecord, within: float) -> float:
        """Write it over what was read; answers when it was sent, the earliest moment at which others can see it."""
        document = record.document(self._key, self._current)
        write = self._leases.update if self._current else self._leases.create
        sent = now()
        self._current = await write(LEASES, document, within=within)
        self._noted(record)
        return sent

    def _noted(self, record: LeaseRecord) -> None:
        self._failing = False
        self.counts.transitions, self.counts.holder = record.transitions, record.holder

    def _failed(self, exc: ConductorError) -> None:
        self.counts.failures += 1
        # A server that is away for long is told of once.
        log.log(logging.DEBUG if self._failing else logging.WARNING, "lease %s: %s", self._key, exc)
        self._failing = True

    async def _spread(self, seconds: float) -> None:
        await asyncio.sleep(seconds * random.uniform(0.8, 1.2))  # noqa: S311 - spread, not secrecy
