"""The Cache Manager's part of a cluster: this node's pods, and who stands behind everybody's addresses."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Self

from conductor.managers.claims import ClaimBook
from conductor.managers.cluster_pods import LocalPods
from conductor.managers.kernel_tasks import beside
from conductor.managers.tops import Asker, Tops
from conductor.model.cluster import Gone, Interrupted, Key, Put, Synced, WatchEvent
from conductor.model.facts import Claim, Container, Pod, Workload
from conductor.ports import Claims, ClusterFacts

__all__ = ["ClusterCache"]

LOOK_SECONDS = 1.0
"""Between two words on facts that changed, and between two looks at what is to be forgotten."""
FIRST_SECONDS = 2.0
SETTLE_SECONDS = 30.0
"""After the first question, until names that have not come are not waited for any more."""
LOCAL = "local_pods"


class ClusterCache:
    """Own what a cluster tells of addresses and pods; answers on any thread.

    This node's pods are always followed. What concerns the whole cluster is followed from the first time on that a
    program asks for a name: most nodes need not carry it.
    """

    def __init__(self, *, facts: ClusterFacts, publish: Callable[[], Awaitable[None]]) -> None:
        self._facts, self._publish = facts, publish
        # A node that is behind a Service, as those of the API server are, is a node to all that it calls.
        self._layers = {what: ClaimBook() for what in (LOCAL, "pods", "services", "nodes", "endpoints")}
        self._order = tuple(self._layers.values())
        self.local = LocalPods()
        """This node's pods."""
        self._hosts: dict[str, dict[Key, Claim]] = {what: {} for what in self._layers}
        self._guests: dict[Claim, int] = {}
        """Pods by node: a node that has none is forgotten."""
        self._tops = Tops(ask=facts.top)
        self._away: dict[str, str] = {}
        self._moved = False
        self._wanted = asyncio.Event()
        self._patience = float("-inf")
        """Until when those who ask first wait for an answer, on the clock of threads; infinitely long ago: nobody asked."""
        self._known = threading.Event()
        self._unknown = {"pods", "services", "endpoints"}
        self._loop_thread = threading.get_ident()
        self._loop = asyncio.get_running_loop()
        self._clock = self._loop.time

    @classmethod
    @asynccontextmanager
    async def running(cls, *, facts: ClusterFacts, publish: Callable[[], Awaitable[None]]) -> AsyncIterator[Self]:
        """Follow the cluster while the body runs; nothing waits for its API server."""
        self = cls(facts=facts, publish=publish)
        work = {
            "facts: local pods": self._follow_local(),
            "facts: cluster": self._follow_cluster(),
            "facts: owners": self._tops.run(self._found),
            "facts: news": self._tell(),
        }
        async with beside(work):
            yield self

    # --- answers, on any thread -----------------------------------------------------------------------------------

    def workload(self, address: bytes) -> Workload | None:
        """Answer who stands behind an address: a pod's top workload, a Service, a node."""
        for book in self._order:
            if (found := book.get(address)) is not None:
                return found
        return None

    def want(self) -> None:
        """Say that a program asks for names: from now on the whole cluster's are followed.

        Whoever asks first waits a little for them, once in the life of an agent, that nobody is taken for a stranger.
        """
        if self._patience == float("-inf"):
            self._patience = time.monotonic() + FIRST_SECONDS
            with suppress(RuntimeError):  # the loop is closed: the agent is going
                self._loop.call_soon_threadsafe(self._wanted.set)
        left = self._patience - time.monotonic()
        if left > 0 and threading.get_ident() != self._loop_thread:
            self._known.wait(left)

    def is_settled(self) -> bool:
        """Whether all names that there are have come since they were asked for, or a while has passed."""
        until = self._patience - FIRST_SECONDS + SETTLE_SECONDS
        return self._known.is_set() or float("-inf") < until <= time.monotonic()

    def named(self, container: Container) -> Container:
        """Add to a container what its pod tells."""
        pod = self.local.of(container.pod_uid)
        if pod is None:
            return container
        return replace(
            container,
            name=pod.containers.get(container.id, ""),
            pod=pod.name,
            namespace=pod.namespace,
            workload=self._tops.known(pod.claim),
        )

    # --- for the agent --------------------------------------------------------------------------------------------

    def problems(self) -> tuple[str, ...]:
        """Say which names may be old, and why, in one line."""
        if not self._away:
            return ()
        away = ", ".join(what.replace("_", " ") for what in sorted(self._away))
        return (
            f"names of the cluster may be old, as it does not tell of its {away}: {next(iter(self._away.values()))}",
        )

    def counts(self) -> Mapping[str, int]:
        """Addresses by who tells of them."""
        return {what: len(book) for what, book in self._layers.items()}

    def losses(self) -> Mapping[str, int]:
        """What could not be held, by why."""
        full = sum(book.left_out for book in self._order) + sum(c.left_out for c in self._facts.counts.values())
        return {"full": full, "owner_unknown": self._tops.given_up}

    # --- following ------------------------------------------------------------------------------------------------

    async def _follow_local(self) -> None:
        async with self._facts.local_pods() as events:
            async for event in events:
                match event:
                    case Put(key=key, row=pod):
                        self.local.put(key, pod)
                        self._claim(LOCAL, key, pod.claim)
                    case Gone(key=key):
                        self.local.drop(key)
                        self._release(LOCAL, key)
                    case Synced():
                        self.local.synced()
                        self._heard(LOCAL, event)
                    case Interrupted(error=error):
                        self.local.interrupted(str(error))
                        self._heard(LOCAL, event)

    async def _follow_cluster(self) -> None:
        await self._wanted.wait()
        async with asyncio.TaskGroup() as group:
            followed: dict[str, Claims] = {
                "pods": self._facts.pods(),
                "services": self._facts.services(),
                "endpoints": self._facts.endpoints(),
            }
            for what, claims in followed.items():
                group.create_task(self._follow(what, claims), name=f"facts: {what}")

    async def _follow(self, what: str, claims: Claims) -> None:
        async with claims as events:
            async for event in events:
                match event:
                    case Put(key=key, row=claim):
                        self._claim(what, key, claim)
                    case Gone(key=key):
                        self._release(what, key)
                    case Synced() | Interrupted():
                        self._heard(what, event)

    def _heard(self, what: str, event: WatchEvent[Claim] | WatchEvent[Pod]) -> None:
        if isinstance(event, Interrupted):
            self._away[what] = str(event.error)
        else:
            self._away.pop(what, None)
        self._unknown.discard(what)
        if not self._unknown:
            self._known.set()

    def _claim(self, what: str, key: Key, claim: Claim) -> None:
        now = self._clock()
        self._settle(what, key, claim.host, now)
        self._layers[what].put(key, claim, now, self._tops.known(claim, (what, key)))
        self._moved = True

    def _release(self, what: str, key: Key) -> None:
        now = self._clock()
        self._settle(what, key, None, now)
        self._tops.forget((what, key))
        self._layers[what].drop(key, now)
        self._moved = True

    def _settle(self, what: str, key: Key, host: Claim | None, now: float) -> None:
        """Count a pod to its node: by its pods a node's addresses are known."""
        before = self._hosts[what].pop(key, None)
        if host is not None:
            self._hosts[what][key] = host
            self._guests[host] = self._guests.get(host, 0) + 1
            if self._guests[host] == 1:
                self._layers["nodes"].put(host, host, now)
        if before is not None:
            self._guests[before] -= 1
            if not self._guests[before]:
                del self._guests[before]
                self._layers["nodes"].drop(before, now)

    def _found(self, asker: Asker, workload: Workload) -> None:
        """Take who stands above the owner of a claim."""
        what, key = asker
        self._layers[what].rename(key, workload)
        self._moved = True

    async def _tell(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            for book in self._order:
                self._moved |= bool(book.forget(self._clock()))
            if self._moved:
                self._moved = False
                await self._publish()
