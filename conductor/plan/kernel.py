"""Decide about kernel programs: (wished, loaded, recorded) -> actions that lead from one to the other.

Applying the actions and deciding again reaches a fixed point. What runs goes on running until its successor is
attached; an unanswered Attach is never repeated on the same program.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace

from conductor.model.ids import LinkId, Name, ProgramId
from conductor.model.kernel import Direction, Link, TcLink, TcxLink, UprobeLink
from conductor.plan.kernel_sets import KernelWant, LinkRecord, LinkWant, LoadedSet

__all__ = [
    "Action",
    "Adopt",
    "AttachLink",
    "DetachLink",
    "Forget",
    "KernelPlan",
    "Load",
    "Replace",
    "Unload",
    "Wait",
    "owners_first",
    "plan",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Load and attach what is not there; `lender` is the set whose maps it uses."""

    want: KernelWant
    lender: LoadedSet | None = None

    @property
    def name(self) -> Name:
        """Whose wish this is."""
        return self.want.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Replace:
    """Load and attach the new, then unload the old; if the new fails, unload it and keep the old.

    `before` is the one of `old` that runs, whose maps the new one takes over if it can.
    """

    want: KernelWant
    old: tuple[LoadedSet, ...]
    before: LoadedSet | None = None
    lender: LoadedSet | None = None

    @property
    def name(self) -> Name:
        """Whose wish this is."""
        return self.want.name


@dataclass(frozen=True, slots=True, kw_only=True)
class AttachLink:
    """Attach one link to a loaded program."""

    name: Name
    program: ProgramId
    want: LinkWant


@dataclass(frozen=True, slots=True, kw_only=True)
class DetachLink:
    """Detach a link that nobody wants; without a record it is one that we never made."""

    name: Name
    link: LinkId
    record: LinkRecord | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Adopt:
    """The link of an unanswered Attach was found: complete its record."""

    name: Name
    record: LinkRecord
    link: LinkId


@dataclass(frozen=True, slots=True, kw_only=True)
class Forget:
    """Drop the record of a link or program that is gone."""

    name: Name
    record: LinkRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Unload:
    """Unload a set that nobody wants, last program first; its links go along."""

    name: Name
    old: LoadedSet


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """Nothing can be loaded before the owner of the maps is."""

    name: Name
    owner: Name


Action = Load | Replace | AttachLink | DetachLink | Adopt | Forget | Unload | Wait


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelPlan:
    """Actions in order, and the set that holds each wish now (also the one that is being replaced)."""

    actions: tuple[Action, ...]
    holding: Mapping[Name, LoadedSet]


def plan(
    wanted: Mapping[Name, KernelWant],
    sets: Collection[LoadedSet],
    records: Collection[LinkRecord],
    *,
    listed_stand: bool = True,
) -> KernelPlan:
    """Decide what leads from `sets` to `wanted`; no actions (but `Wait`) when nothing is to be done.

    Where a link may be listed that does not stand (`listed_stand` False), no unanswered Attach can be told from it.
    """
    return _Planner(sets, records, listed_stand=listed_stand).decide(wanted)


def owners_first(wanted: Mapping[Name, KernelWant]) -> tuple[KernelWant, ...]:
    """Order wishes so that a map owner comes before those who use its maps; circles keep the order of names."""
    done: dict[Name, KernelWant] = {}

    def visit(name: Name, above: frozenset[Name]) -> None:
        want = wanted.get(name)
        if want is None or name in done or name in above:
            return
        if want.spec.map_owner is not None:
            visit(want.spec.map_owner, above | {name})
        done[name] = want

    for name in sorted(wanted):
        visit(name, frozenset())
    return tuple(done.values())


class _Planner:
    """One decision under way: the world by name and by program, and what was decided so far."""

    def __init__(self, sets: Collection[LoadedSet], records: Collection[LinkRecord], *, listed_stand: bool) -> None:
        self._listed_stand = listed_stand
        self._sets = sorted(sets, key=lambda s: s.members[0].id)
        self._listed = {member.id: member.links for s in sets for member in s.members}
        self._records: dict[ProgramId, list[LinkRecord]] = {}
        for record in records:
            self._records.setdefault(record.program, []).append(record)
        self._fit: dict[Name, LoadedSet] = {}
        self._holding: dict[Name, LoadedSet] = {}

    def decide(self, wanted: Mapping[Name, KernelWant]) -> KernelPlan:
        actions: list[Action] = [*self._forgotten()]
        for want in owners_first(wanted):
            actions += self._for(want)
        unwanted = [s for s in self._sets if s.name not in wanted]
        borrowing_first = sorted(unwanted, key=lambda s: (not s.lender, -s.members[0].id))
        actions += [Unload(name=s.name, old=s) for s in borrowing_first]
        return KernelPlan(actions=tuple(actions), holding=self._holding)

    def _forgotten(self) -> Iterator[Action]:
        """Records of what is no more. Unanswered Attaches and links that made room stay as long as their program."""
        for program, records in self._records.items():
            links = self._listed.get(program)
            for record in records:
                is_gone = record.link is not None and not record.aside and not self._stands(record)
                if links is None or is_gone:
                    yield Forget(name=record.name, record=record)

    def _for(self, want: KernelWant) -> Iterator[Action]:
        mine = [s for s in self._sets if s.name == want.name]
        yield from (adopt for s in mine for adopt in self._adoptions(s))
        fit = [s for s in mine if self._fits(s, want)]
        stale = [s for s in mine if s not in fit]
        keep = next((s for s in fit if self._is_linked(s, want)), None)
        if keep is None and not any(self._is_attached(s) for s in stale):
            keep = next((s for s in fit if self._made_room(s)), None)
        if keep is None and not stale:
            keep = next(iter(fit), None)
        if keep is not None:
            self._fit[want.name] = self._holding[want.name] = keep
            yield from (Forget(name=want.name, record=record) for record in self._made_room(keep))
            yield from self._links(keep, want)
            yield from (Unload(name=want.name, old=s) for s in mine if s is not keep)
            return
        # What fits but is not linked is left of a Replace that failed: those before it still run.
        yield from (Unload(name=want.name, old=s) for s in fit)
        yield from self._fresh(want, tuple(stale))

    def _fresh(self, want: KernelWant, stale: tuple[LoadedSet, ...]) -> Iterator[Action]:
        before = self._running(stale)
        if before is not None:
            self._holding[want.name] = before
        owner = want.spec.map_owner
        lender = None if owner is None else self._fit.get(owner)
        if owner is not None and lender is None:
            if before is not None:
                yield from (AttachLink(name=r.name, program=r.program, want=r.want) for r in self._made_room(before))
            yield Wait(name=want.name, owner=owner)
        elif before is not None:
            yield Replace(want=want, old=stale, before=before, lender=lender)
        else:
            yield Load(want=want, lender=lender)

    def _running(self, stale: tuple[LoadedSet, ...]) -> LoadedSet | None:
        """The newest that is attached, or was before it made room; a Replace cut short leaves others behind."""
        attached = [s for s in stale if self._is_attached(s) or self._made_room(s)]
        return next(iter(reversed(attached or stale)), None)

    def _is_attached(self, s: LoadedSet) -> bool:
        return any(member.links for member in s.members)

    def _made_room(self, s: LoadedSet) -> list[LinkRecord]:
        """Links that are gone for a new version's sake."""
        records = (record for member in s.members for record in self._records.get(member.id, ()))
        return [record for record in records if record.aside and not self._stands(record)]

    def _stands(self, record: LinkRecord) -> bool:
        return record.link in self._listed.get(record.program, ())

    def _fits(self, s: LoadedSet, want: KernelWant) -> bool:
        asked = sorted(program.name for program in want.spec.programs)
        lender = None if want.spec.map_owner is None else self._fit.get(want.spec.map_owner)
        return (
            s.this_boot
            and s.hash == want.hash
            and sorted(member.name for member in s.members) == asked
            and (lender is None or lender.maps == s.lender)
            and not any(self._is_doubtful(member.id) for member in s.members)
        )

    def _unanswered(self, program: ProgramId) -> list[LinkRecord]:
        return [record for record in self._records.get(program, ()) if record.link is None]

    def _unknown(self, program: ProgramId) -> list[LinkId]:
        known = {record.link for record in self._records.get(program, ())}
        return [link for link in self._listed[program] if link not in known]

    def _is_doubtful(self, program: ProgramId) -> bool:
        """Whether an Attach went unanswered and cannot be told from what is listed."""
        unanswered = len(self._unanswered(program))
        is_told = self._listed_stand and (unanswered, len(self._unknown(program))) == (1, 1)
        return unanswered > 0 and not is_told

    def _standing(self, s: LoadedSet) -> dict[LinkWant, LinkRecord]:
        """Links that stand, by what they are; the one just found counts."""
        found = {}
        for member in s.members:
            for record in self._records.get(member.id, ()):
                if record.link is None or record.link in member.links:
                    found[record.want] = record
        return found

    def _is_linked(self, s: LoadedSet, want: KernelWant) -> bool:
        return set(want.links) <= set(self._standing(s))

    def _links(self, s: LoadedSet, want: KernelWant) -> Iterator[Action]:
        """Links to detach and attach: new before old, but where both would sit at one place."""
        yield from self._foreign(s)
        standing = self._standing(s)
        missing = [w for w in dict.fromkeys(want.links) if w not in standing]
        doomed = [(w, r) for w, r in standing.items() if w not in want.links and r.link is not None]
        places = {_place(w) for w in missing}
        in_the_way = [r for w, r in doomed if _place(w) in places]
        yield from (_detach(r) for r in in_the_way)
        yield from (AttachLink(name=want.name, program=s.member(w.function).id, want=w) for w in missing)
        yield from (_detach(r) for _, r in doomed if r not in in_the_way)

    def _adoptions(self, s: LoadedSet) -> Iterator[Action]:
        for member in s.members:
            unanswered = self._unanswered(member.id)
            if unanswered and not self._is_doubtful(member.id):
                yield Adopt(name=s.name, record=unanswered[0], link=self._unknown(member.id)[0])

    def _foreign(self, s: LoadedSet) -> Iterator[Action]:
        """Links of a set that we never made."""
        for member in s.members:
            if not self._unanswered(member.id):
                yield from (DetachLink(name=s.name, link=link) for link in self._unknown(member.id))


def _detach(record: LinkRecord) -> DetachLink:
    assert record.link is not None
    return DetachLink(name=record.name, link=record.link, record=record)


def _place(want: LinkWant) -> tuple[object, ...]:
    """Where one program can sit only once; priorities and verdicts are no part of a place.

    Nor is the index: an interface may have been made anew between our look at it and an Attach by its name. Of a
    container another process may be the oldest now: it is the same place all the same.
    """
    link, process = want.link, want.process
    if process is not None:
        if isinstance(link, UprobeLink):
            return (want.function, process.container, replace(link, container_pid=None))
        return (want.function, process.pod_uid or process.container, want.interface, _direction(link))
    if not want.interface:
        return (want.function, link)
    return (want.function, want.interface, getattr(link, "netns", None), _direction(link))


def _direction(link: Link) -> Direction | None:
    return link.direction if isinstance(link, TcLink | TcxLink) else None
