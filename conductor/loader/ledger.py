"""What is loaded, as the records say: a snapshot that any thread may read, changed by one thread, disk first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from conductor.errors import NotFound
from conductor.loader.records import LinkRecord, LoadRecord, ProgramRecord
from conductor.loader.store import RecordStore
from conductor.model.ids import LinkId, ProgramId

__all__ = ["Ledger"]

_SHOWN = 12


class Ledger:
    """Own the records. Each change makes a new mapping, so that whoever reads sees one moment."""

    def __init__(self, *, store: RecordStore) -> None:
        self._store = store
        self._loads: Mapping[ProgramId, LoadRecord] = MappingProxyType({})

    def adopt(self, loads: tuple[LoadRecord, ...]) -> None:
        """Take over what is on disk already."""
        self._loads = MappingProxyType({load.key: load for load in loads})

    def put(self, load: LoadRecord) -> None:
        """Write a record; without programs, forget it. Raises `StateUnwritable`, and nothing has changed then."""
        others = {key: other for key, other in self._loads.items() if key != load.key}
        if load.programs:
            self._store.write(load)
            self._loads = MappingProxyType({**others, load.key: load})
        else:
            self._store.remove(load.key)
            self._loads = MappingProxyType(others)

    def programs(self) -> Iterator[tuple[LoadRecord, ProgramRecord]]:
        """Every program with its Load, by id."""
        pairs = ((load, program) for load in self._loads.values() for program in load.programs)
        yield from sorted(pairs, key=lambda pair: pair[1].id)

    def links(self) -> Iterator[tuple[LoadRecord, ProgramRecord, LinkRecord]]:
        """Every link with its program and Load."""
        return ((load, program, link) for load, program in self.programs() for link in program.links)

    def find(self, id_: ProgramId) -> tuple[LoadRecord, ProgramRecord]:
        """Find a program. Raises `NotFound` naming those there are."""
        for load, program in self.programs():
            if program.id == id_:
                return load, program
        names = [f"{program.id} ({program.name})" for _, program in self.programs()]
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
        maps = {*program.maps.values()}
        return tuple(
            other.id for _, other in self.programs() if other.id == program.id or maps & {*other.maps.values()}
        )
