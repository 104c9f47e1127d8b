"""Containers that a program could not be attached to, though its selector of pods chooses them."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from conductor.errors import ConductorError, ContainerGone, KernelAway, StateUnwritable
from conductor.model.ids import Name
from conductor.model.kernel import KernelProgramSpec
from conductor.plan.backoff import delay
from conductor.plan.kernel_links import selectors_of
from conductor.plan.kernel_sets import LinkWant

__all__ = ["Refusal", "Refusals", "is_refusal"]

PATIENCE_SECONDS = 5.0
"""For which a program whose every container refuses is waited with: files of a container may be made after its start."""


@dataclass(slots=True)
class Refusal:
    """Why one container refused last, and when it is asked again."""

    want: LinkWant
    error: ConductorError
    since: float
    failures: int
    due: float


class Refusals:
    """Own them: each container is asked again by itself, so that it keeps no other waiting and costs little."""

    def __init__(self, *, now: Callable[[], float], jitter: Callable[[], float]) -> None:
        self._now, self._jitter = now, jitter
        self._refusals: dict[Name, dict[LinkWant, Refusal]] = {}

    def note(self, name: Name, want: LinkWant, error: ConductorError) -> None:
        """Take that a container refused."""
        mine = self._refusals.setdefault(name, {})
        before, now = mine.get(want), self._now()
        failures = 1 if before is None else before.failures + 1
        since = now if before is None else before.since
        mine[want] = Refusal(want, error, since, failures, now + delay(failures, self._jitter()))

    def due(self, name: Name, wants: Collection[LinkWant]) -> tuple[LinkWant, ...]:
        """Answer those that may be tried now, and forget what is not wanted any more."""
        mine = self._refusals.get(name, {})
        kept = {want: mine[want] for want in wants if want in mine}
        if kept:
            self._refusals[name] = kept
        else:
            self._refusals.pop(name, None)
        return tuple(want for want in wants if want not in kept or kept[want].due <= self._now())

    def settle(self, name: Name, want: LinkWant) -> None:
        """Take that a container refuses no more."""
        mine = self._refusals.get(name, {})
        mine.pop(want, None)
        if not mine:
            self._refusals.pop(name, None)

    def of(self, name: Name) -> tuple[Refusal, ...]:
        """Answer what refuses a program, the oldest first."""
        return tuple(sorted(self._refusals.get(name, {}).values(), key=lambda one: one.since))

    def is_patient(self, refusals: Collection[Refusal]) -> bool:
        """Whether it is too early to say that they will go on refusing."""
        return self._now() - min(one.since for one in refusals) < PATIENCE_SECONDS

    def only(self, names: Collection[Name]) -> None:
        """Forget programs that nobody wishes."""
        self._refusals = {name: mine for name, mine in self._refusals.items() if name in names}

    def hurry(self) -> None:
        """Have all tried again at once: another daemon answers."""
        for mine in self._refusals.values():
            for one in mine.values():
                one.due = 0.0


def is_refusal(spec: KernelProgramSpec, want: LinkWant, error: ConductorError) -> bool:
    """Whether an error is the word of one container that a selector of pods chose: no fault of the program's.

    What a person named by its UID or id is to be attached to, or the program failed.
    """
    by_labels = any(selector.pods is not None for selector in selectors_of(spec))
    passes = isinstance(error, ContainerGone | KernelAway | StateUnwritable)
    return want.process is not None and by_labels and not passes
