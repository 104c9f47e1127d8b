"""How nodes stand with each program: those that stand alike are one group, and groups are what is decided about.

A row that comes moves its node between groups, so that a decision costs by how many ways of standing there are, and
by the nodes that change: not by programs times nodes.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from heapq import nsmallest
from itertools import chain
from typing import NamedTuple, Self, TypeAlias

from conductor.errors import (
    ClusterAway,
    ImagePending,
    KernelAway,
    RegistryAway,
    SignaturesUnjudged,
    StateUnwritable,
    StoreFull,
)
from conductor.model.fleet import MOST_PROGRAMS, Assignment, FleetKey, NodeRow, NodeStateRow, ProgramReport
from conductor.model.fleet_rows import ProgramRow
from conductor.model.labels import Selector
from conductor.model.status import State
from conductor.plan.kernel_pods import NOTHING

__all__ = ["Among", "Census", "Sight", "Standing"]

MOVING = {State.UNINITIALIZED, State.INITIALIZED, State.PULLING, State.UPDATING}
BROKEN = {State.FAILED, State.QUARANTINED}
SURROUNDINGS = {
    error.reason
    for error in (ClusterAway, ImagePending, KernelAway, RegistryAway, SignaturesUnjudged, StateUnwritable, StoreFull)
}
"""Reasons that speak of a node's surroundings and not of a version."""


class Sight(NamedTuple):
    """What is known of one node."""

    node: NodeRow | None
    state: NodeStateRow | None


class Standing(NamedTuple):
    """How a node stands with a program."""

    is_meant: bool
    """The program's selector takes it."""
    is_ready: bool
    has_room: bool
    """It is there, or fits in."""
    assigned: str | None
    """Hash of what it is to run; None: nothing."""
    revision: str
    """Name of that."""
    told: str | None
    """Hash of the version that its agent tells of; None: of none."""
    state: State | None
    """Where that version stands."""
    reason: str
    """Of what is broken, or runs attached to nothing."""
    is_fresh: bool
    """What is broken answers what is assigned now, not something before."""

    def has(self, digest: str) -> bool:
        """Whether it is to run the revision of this hash."""
        return self.assigned is not None and self.assigned == digest

    @property
    def answer(self) -> State | None:
        """Where it stands with what it is to run; None: it has not said."""
        return self.state if self.assigned is not None and self.told == self.assigned else None

    @property
    def runs(self) -> bool:
        """Whether it runs what it is to run."""
        return self.answer is State.RUNNING

    @property
    def is_idle(self) -> bool:
        """Whether it runs that and no pod there is one that it goes into."""
        return self.runs and self.reason == NOTHING

    @property
    def is_broken(self) -> bool:
        """Whether its agent says so of what it is to run."""
        return self.answer in BROKEN

    @property
    def has_refused(self) -> bool:
        """Whether that speaks against the version: said of it, and of nothing that passes."""
        return self.is_broken and self.is_fresh and self.reason not in SURROUNDINGS

    @property
    def is_moving(self) -> bool:
        """Whether its agent is on the way to what it is to run."""
        return self.answer in MOVING


Such: TypeAlias = Callable[[Standing], bool]
_Key: TypeAlias = tuple[str, str]
"""A FleetKey, or its like: made a hundred times for every word of every node."""


@dataclass(frozen=True, slots=True)
class Among:
    """How a program sees nodes. Those that are named come in the order of their names."""

    key: FleetKey
    groups: Mapping[Standing, Collection[str]]
    states: Mapping[str, NodeStateRow]

    def count(self, such: Such) -> int:
        """Answer how many stand so."""
        return sum(len(nodes) for how, nodes in self.groups.items() if such(how))

    def any(self, such: Such) -> bool:
        """Whether one stands so."""
        return any(such(how) for how in self.groups)

    def all(self, such: Such) -> bool:
        """Whether all stand so."""
        return all(such(how) for how in self.groups)

    def such(self, such: Such) -> Among:
        """Answer those that stand so."""
        return Among(self.key, {how: nodes for how, nodes in self.groups.items() if such(how)}, self.states)

    @property
    def total(self) -> int:
        """How many they are."""
        return sum(map(len, self.groups.values()))

    def names(self, most: int | None = None) -> list[str]:
        """Answer the first of them."""
        nodes = chain.from_iterable(self.groups.values())
        return sorted(nodes) if most is None or most >= self.total else nsmallest(max(0, most), nodes)

    def reports(self, most: int) -> Iterator[tuple[str, ProgramReport]]:
        """Answer what the agents of the first of them say; all of them are to have said something."""
        for node in self.names(most):
            if (report := self.states[node].reported(self.key)) is not None:
                yield node, report


class Census:
    """Groups by program: of the nodes that it is meant for, or is assigned to, or that tell of it."""

    def __init__(self) -> None:
        self._groups: dict[_Key, dict[Standing, set[str]]] = {}
        self._selectors: dict[_Key, Selector] = {}

    @classmethod
    def of(
        cls,
        programs: Mapping[FleetKey, ProgramRow],
        nodes: Mapping[str, NodeRow],
        states: Mapping[str, NodeStateRow],
    ) -> Self:
        """Count a whole cluster."""
        self = cls()
        self._selectors = {key: row.selector for key, row in programs.items()}
        for name in {*nodes, *states}:
            self.see(name, Sight(None, None), Sight(nodes.get(name), states.get(name)))
        return self

    def copied(self) -> Census:
        """Answer the same, which does not change with what is known."""
        copy = Census()
        copy._groups = {key: {how: set(nodes) for how, nodes in groups.items()} for key, groups in self._groups.items()}
        copy._selectors = dict(self._selectors)
        return copy

    def groups(self) -> Mapping[_Key, Mapping[Standing, Collection[str]]]:
        """Answer all of it."""
        return self._groups

    def meant(self, key: FleetKey, states: Mapping[str, NodeStateRow]) -> Among:
        """Answer the nodes that a program is meant for."""
        return Among(key, self._groups.get(key, {}), states).such(lambda how: how.is_meant)

    def seen(self, key: FleetKey, states: Mapping[str, NodeStateRow]) -> Among:
        """Answer all nodes that it has to do with."""
        return Among(key, self._groups.get(key, {}), states)

    # --- what comes ---------------------------------------------------------------------------------------------------

    def choose(
        self,
        key: FleetKey,
        selector: Selector | None,
        nodes: Mapping[str, NodeRow],
        states: Mapping[str, NodeStateRow],
    ) -> None:
        """Take which nodes a program is meant for; None: it is gone."""
        before = self._selectors.get(key)
        if selector == before:
            return
        if selector is None:
            del self._selectors[key]
        else:
            self._selectors[key] = selector
        self._groups.pop(key, None)
        for name in {*nodes, *states}:
            sight = Sight(nodes.get(name), states.get(name))
            item = sight.state.assigned(key) if sight.state else None
            report = sight.state.reported(key) if sight.state else None
            self._put(key, name, _standing(self._is_meant(key, sight.node), sight, item, report))

    def see(self, name: str, before: Sight, after: Sight) -> set[FleetKey]:
        """Take how a node changed; answers the programs of which it has or says something else."""
        was, now = _entries(before.state), _entries(after.state)
        told, tells = _reports(before.state), _reports(after.state)
        touched = {*_differing(was, now), *_differing(told, tells)}
        if _is_fresh(before.state) != _is_fresh(after.state):
            touched |= {key for key, report in tells.items() if report.state in BROKEN}
        is_wide = before.node != after.node or _has_room(before.state) != _has_room(after.state)
        for key in {*self._selectors, *was, *now, *told, *tells} if is_wide else touched:
            is_meant = self._is_meant(key, after.node)
            was_meant = self._is_meant(key, before.node) if is_wide else is_meant
            old = _standing(was_meant, before, was.get(key), told.get(key))
            new = _standing(is_meant, after, now.get(key), tells.get(key))
            if old != new:
                self._drop(key, name, old)
                self._put(key, name, new)
        return {FleetKey(*key) for key in touched}

    def _is_meant(self, key: _Key, node: NodeRow | None) -> bool:
        selector = self._selectors.get(key)
        return node is not None and selector is not None and selector.matches(node.labels)

    def _put(self, key: _Key, name: str, how: Standing | None) -> None:
        if how is not None:
            self._groups.setdefault(key, {}).setdefault(how, set()).add(name)

    def _drop(self, key: _Key, name: str, how: Standing | None) -> None:
        if how is None:
            return
        groups = self._groups[key]
        groups[how].remove(name)
        if not groups[how]:
            del groups[how]
            if not groups:
                del self._groups[key]


def _standing(is_meant: bool, sight: Sight, item: Assignment | None, report: ProgramReport | None) -> Standing | None:
    if not is_meant and item is None and report is None:
        return None
    node = sight.node
    is_broken = report is not None and report.state in BROKEN
    return Standing(
        is_meant=is_meant,
        is_ready=node is not None and node.ready,
        has_room=item is not None or _has_room(sight.state),
        assigned=item.hash if item else None,
        revision=item.revision if item else "",
        told=report.hash if report else None,
        state=report.state if report else None,
        reason=report.reason if report and (is_broken or report.reason == NOTHING) else "",
        is_fresh=not is_broken or _is_fresh(sight.state),
    )


def _entries(state: NodeStateRow | None) -> dict[_Key, Assignment]:
    return {(item.kind, item.name): item for item in state.spec} if state else {}


def _reports(state: NodeStateRow | None) -> dict[_Key, ProgramReport]:
    return {(report.kind, report.name): report for report in state.observed} if state else {}


def _differing(before: Mapping[_Key, object], after: Mapping[_Key, object]) -> Iterable[_Key]:
    if before == after:
        return ()
    return [key for key in {**before, **after} if before.get(key) != after.get(key)]


def _has_room(state: NodeStateRow | None) -> bool:
    return state is None or len(state.spec) < MOST_PROGRAMS


def _is_fresh(state: NodeStateRow | None) -> bool:
    return state is not None and state.observed_generation >= state.generation
