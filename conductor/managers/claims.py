"""Who stands behind an address now, by what the objects of a cluster claim: addresses change hands."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass, replace

from conductor.model.facts import Claim, Workload

__all__ = ["ClaimBook"]

MOST = 200_000
GRACE_SECONDS = 60.0
"""For which an address answers its last owner: what was counted in its last seconds is looked up after its end."""


@dataclass(frozen=True, slots=True)
class _Held:
    key: Hashable
    claim: Claim
    workload: Workload

    @property
    def rank(self) -> tuple[bool, int]:
        """Of two that claim an address the greater one has it."""
        return not self.claim.leaving, self.claim.since


class ClaimBook:
    """Own one kind of claims. Written on the event loop; `get` is one dictionary look-up, on any thread.

    An address belongs to the latest that claims it and is not being deleted. Where nobody claims it any more it
    answers the last one for a while, but gives way at once to a new claim.
    """

    def __init__(self, *, most: int = MOST, grace: float = GRACE_SECONDS) -> None:
        self._most, self._grace = most, grace
        self._held: dict[bytes, _Held] = {}
        self._rivals: dict[bytes, list[_Held]] = {}
        """Others that claim an address too: mostly none."""
        self._claimed: dict[Hashable, tuple[bytes, ...]] = {}
        self._leaving: dict[bytes, float] = {}
        """Addresses that nobody claims, by when they are to be forgotten."""
        self._queue: deque[tuple[float, bytes]] = deque()
        self.left_out = 0
        """Addresses past the bound: they have no name."""

    def __len__(self) -> int:
        return len(self._held)

    def get(self, address: bytes) -> Workload | None:
        """Answer who stands behind an address."""
        held = self._held.get(address)
        return held.workload if held is not None else None

    def put(self, key: Hashable, claim: Claim, now: float, workload: Workload | None = None) -> None:
        """Take what an object claims from now on, in place of what it claimed before.

        `workload` stands there where more is known than the claim says.
        """
        for address in self._claimed.get(key, ()):
            if address not in claim.addresses:
                self._release(key, address, now)
        held = _Held(key, claim, workload or claim.workload)
        taken = tuple(address for address in claim.addresses if self._claim(address, held))
        if taken:
            self._claimed[key] = taken
        else:
            self._claimed.pop(key, None)

    def drop(self, key: Hashable, now: float) -> None:
        """Take that an object is gone."""
        for address in self._claimed.pop(key, ()):
            self._release(key, address, now)

    def rename(self, key: Hashable, workload: Workload) -> None:
        """Take who stands behind what an object claims, found out later."""
        for address in self._claimed.get(key, ()):
            held = self._held[address]
            if held.key == key:
                self._held[address] = replace(held, workload=workload)
            elif rivals := self._rivals.get(address):
                named = [replace(one, workload=workload) if one.key == key else one for one in rivals]
                self._rivals[address] = named

    def forget(self, now: float) -> int:
        """Forget what nobody claimed for the time of grace; answers how many."""
        before = len(self._held)
        while self._queue and self._queue[0][0] <= now:
            until, address = self._queue.popleft()
            if self._leaving.get(address) == until:
                del self._leaving[address], self._held[address]
        return before - len(self._held)

    def _claim(self, address: bytes, mine: _Held) -> bool:
        before = self._held.get(address)
        if before is None and len(self._held) >= self._most:
            self.left_out += 1
            return False
        was_left = self._leaving.pop(address, None) is not None
        self._drop_rival(address, mine.key)
        standing = [mine, *self._rivals.pop(address, ())]
        if before is not None and before.key != mine.key and not was_left:
            standing.append(before)
        self._hold(address, standing)
        return True

    def _release(self, key: Hashable, address: bytes, now: float) -> None:
        if self._held[address].key != key:
            self._drop_rival(address, key)
        elif rivals := self._rivals.pop(address, None):
            self._hold(address, rivals)
        else:
            until = self._leaving[address] = now + self._grace
            self._queue.append((until, address))

    def _hold(self, address: bytes, standing: list[_Held]) -> None:
        """Give an address to the first by rank; the others wait."""
        first = max(standing, key=lambda one: one.rank)
        self._held[address] = first
        if rest := [one for one in standing if one is not first]:
            self._rivals[address] = rest

    def _drop_rival(self, address: bytes, key: Hashable) -> None:
        if rivals := self._rivals.get(address):
            rest = [one for one in rivals if one.key != key]
            if rest:
                self._rivals[address] = rest
            else:
                del self._rivals[address]
