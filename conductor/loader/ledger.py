"""What is loaded, as the records say: a snapshot that any thread may read, changed by one thread, disk first."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from conductor.errors import NotFound
from conductor.loader.records import LinkRecord, LoadRecord, ProgramRecord
from conductor.loader.store import RecordStore
from conductor.model.ids import LinkId, ProgramId

__all__ = ["Ledger"]

_SHOWN = 12
_Pair = tuple[LoadRecord, ProgramRecord]


@dataclass(frozen=True, slots=True)
class _Snapshot:
    """One moment, with what reads ask for made ready."""

    loads: Mapping[ProgramId, LoadRecord] = field(default_factory=dict)
    programs: Mapping[ProgramId, _Pair] = field(default_factory=dict)
    users: Mapping[int, tuple[ProgramId, ...]] = field(default_factory=dict)
    """Programs by the ids of their maps."""

    @classmethod
    def of(cls, loads: Iterable[LoadRecord]) -> _Snapshot:
        """Order everything by id."""
        kept = tuple(loads)
        pairs = sorted(((load, program) for load in kept for program in load.programs), key=lambda pair: pair[1].id)
        users: dict[int, list[ProgramId]] = defaultdict(list)
        for _, program in pairs:
            for map_id in {*program.maps.values()}:
                users[map_id].append(program.id)
        return cls(
            {load.key: load for load in kept},
            {pair[1].id: pair for pair in pairs},
            {map_id: tuple(ids) for map_id, ids in users.items()},
        )


class Ledger:
    """Own the records. Each change makes a new snapshot, so that whoever reads sees one moment."""

    def __init__(self, *, store: RecordStore) -> None:
        self._store = store
        self._now = _Snapshot()

    def adopt(self, loads: tuple[LoadRecord, ...]) -> None:
        """Take over what is on disk already."""
        self._now = _Snapshot.of(loads)

    def put(self, load: LoadRecord) -> None:
        """Write a record; without programs, forget it. Raises `StateUnwritable`, and nothing has changed then."""
        others = [other for key, other in self._now.loads.items() if key != load.key]
        if load.programs:
            self._store.write(load)
            others.append(load)
        else:
            self._store.remove(load.key)
        self._now = _Snapshot.of(others)

    @property
    def count(self) -> int:
        """Number of programs."""
        return len(self._now.programs)

    def programs(self) -> Iterator[_Pair]:
        """Every program with its Load, by id."""
        return iter(self._now.programs.values())

    def links(self) -> Iterator[tuple[LoadRecord, ProgramRecord, LinkRecord]]:
        """Every link with its program and Load."""
        return ((load, program, link) for load, program in self.programs() for link in program.links)

    def find(self, id_: ProgramId) -> _Pair:
        """Find a program. Raises `NotFound` naming those there are."""
        programs = self._now.programs
        if id_ in programs:
            return programs[id_]
        names = [f"{program.id} ({program.name})" for _, program in programs.values()]
        shown = ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
        raise NotFound(f"no program {id_} was loaded here; there {f'are {shown}' if names else 'is none'}")

    def find_link(self, id_: LinkId) -> tuple[LoadRecord, ProgramRecord, LinkRecord]:
        """Find a link. Raises `NotFound`."""
        for load, program, link in self.links():
            if link.id == id_:
                return load, program, link
        raise NotFound(f"no link {id_} was made here; Get tells a program's links")

    def sharers(self, program: ProgramRecord) -> tuple[ProgramId, ...]:
        """Programs that use a map of `program`, itself included."""
        users = self._now.users
        return tuple(sorted({program.id}.union(*(users.get(map_id, ()) for map_id in program.maps.values()))))
