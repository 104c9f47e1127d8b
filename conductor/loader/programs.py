"""Load and unload programs. Runs on the worker's thread alone."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import ExitStack
from pathlib import Path

from conductor.bpf import pins
from conductor.bpf.info import ProgramInfo, map_info, program_info
from conductor.bpf.object_file import read_object
from conductor.bpf.objects import BpfObject
from conductor.errors import (
    ConductorError,
    InvalidSpec,
    KernelRefused,
    NotSupported,
    ObjectUnreadable,
    StateUnwritable,
    VerifierRejected,
)
from conductor.loader.bpffs import BpfFs, map_mode
from conductor.loader.ledger import Ledger
from conductor.loader.preparation import check_layout, prepared, writable_maps
from conductor.loader.records import KernelFacts, LoadRecord, ProgramRecord
from conductor.loader.recover import PinnedProgram, pins_of, recovery
from conductor.loader.store import RecordStore
from conductor.loader.trimmed_btf import TrimmedBtf
from conductor.loader.wire import rfc3339
from conductor.model.grants import Access
from conductor.model.ids import ProgramId
from conductor.model.kernel import KernelType
from conductor.ports import KernelLoad

__all__ = ["Programs"]

log = logging.getLogger(__name__)


class Programs:
    """Own every loaded program and its map pins."""

    def __init__(self, *, ledger: Ledger, bpffs: BpfFs, btf: TrimmedBtf, boot_id: str) -> None:
        self._ledger, self._bpffs, self._btf, self._boot_id = ledger, bpffs, btf, boot_id

    def recover(self, store: RecordStore) -> None:
        """Adopt what an earlier run left: records and pins that belong together stay, everything else goes."""
        found = self._bpffs.pins()
        plan = recovery(store.read(), pins=found, programs=self._pinned(found), boot_id=self._boot_id)
        self._bpffs.unpin(plan.unpin)
        self._ledger.adopt(plan.keep)
        try:
            for key in plan.forget:
                store.remove(key)
            for record in plan.write:
                store.write(record)
        except StateUnwritable as error:
            log.warning("what was found is not written down: %s", error)  # the next start finds the same again

    def load(self, wish: KernelLoad) -> LoadRecord:
        """Load all programs of a wish or none.

        Raises `ObjectUnreadable`, `InvalidSpec`, `VerifierRejected`, `NotSupported`, `KernelRefused`, `NotFound`.
        """
        data = read_object(Path(wish.path))
        trimmed = self._btf.of(data)
        try:
            return self._load(data, wish, trimmed)
        except (KernelRefused, NotSupported, ObjectUnreadable, VerifierRejected):
            if trimmed is None:
                raise
        # Whoever is refused is refused by libbpf with the kernel's own BTF, not for what we left of it.
        record = self._load(data, wish, None)
        self._btf.give_up(data)
        return record

    def _load(self, data: bytes, wish: KernelLoad, btf: Path | None) -> LoadRecord:
        with ExitStack() as undo:
            obj = undo.enter_context(BpfObject.open(data, name=_stem(wish.path), custom_btf=btf))
            types = prepared(obj, wish)
            self._reuse_maps(obj, wish)
            writable = writable_maps(wish.metadata, obj)
            obj.load()
            record = self._recorded(obj, wish, types)
            undo.callback(self._bpffs.unpin, self._not_needed(record.programs))
            self._pin(obj, record, writable)
            self._ledger.put(record)  # from here on the Load is done
            undo.pop_all()
            obj.close()
        return record

    def unload(self, id_: ProgramId) -> None:
        """Detach and remove a program. Raises `NotFound`, `KernelRefused`, `StateUnwritable`.

        Past the first pin that goes there is no return: what fails then is raised, and another Unload goes on.
        """
        load, program = self._ledger.find(id_)
        self._bpffs.unpin(self._not_needed((program,)))
        self._ledger.put(load.without_program(id_))

    def unload_all(self) -> None:
        """Remove everything; one that fails does not keep the others. Raises the last failure."""
        failure: ConductorError | None = None
        for _, program in [*self._ledger.programs()]:
            try:
                self.unload(program.id)
            except ConductorError as error:
                failure = error
        if failure is not None:
            raise failure

    # --- loading, step by step ----------------------------------------------------------------------------------------

    def _reuse_maps(self, obj: BpfObject, wish: KernelLoad) -> None:
        """Use the owner's maps of the same names, and those that are shared by name."""
        owned: Mapping[str, int] = {}
        if wish.map_owner is not None:
            owned = self._owner(wish.map_owner).maps
        for declared in obj.maps:
            if declared.name in owned and wish.map_owner is not None:
                pin, field = self._bpffs.maps(wish.map_owner) / declared.name, "map_owner_id"
            elif declared.pinned_by_name and self._bpffs.shared(declared.name).exists():
                pin, field = self._bpffs.shared(declared.name), "bytecode"
            else:
                continue
            with pins.open_map_fd(pin, Access.READ_WRITE) as fd:
                check_layout(declared, fd.fileno(), field)
                obj.reuse_map(declared.name, fd.fileno())

    def _owner(self, id_: ProgramId) -> ProgramRecord:
        try:
            return self._ledger.find(id_)[1]
        except ConductorError as error:
            raise InvalidSpec("map_owner_id", str(error)) from error

    def _recorded(self, obj: BpfObject, wish: KernelLoad, types: Mapping[str, KernelType]) -> LoadRecord:
        maps = {m.name: int(map_info(obj.map_fd(m.name)).id) for m in obj.maps if not m.internal}
        shared = tuple(m.name for m in obj.maps if m.pinned_by_name)
        programs = []
        for name, type_ in types.items():
            info = program_info(obj.program_fd(name))
            facts = _facts(info)
            programs.append(ProgramRecord(id=info.id, name=name, type=type_, kernel=facts, maps=maps, shared=shared))
        return LoadRecord(
            key=programs[0].id,
            boot_id=self._boot_id,
            path=wish.path,
            programs=tuple(programs),
            global_data=wish.global_data,
            metadata=wish.metadata,
            map_owner=wish.map_owner,
        )

    def _pin(self, obj: BpfObject, record: LoadRecord, writable: Collection[str]) -> None:
        declared = {m.name: m for m in obj.maps}
        for program in record.programs:
            self._bpffs.make_maps(program.id)
            for name in program.maps:
                mode = map_mode(declared[name].type, name, writable)
                self._bpffs.pin(obj.map_fd(name), self._bpffs.maps(program.id) / name, mode=mode)
                if name in program.shared and not self._bpffs.shared(name).exists():
                    self._bpffs.pin(obj.map_fd(name), self._bpffs.shared(name), mode=mode)
            self._bpffs.pin(obj.program_fd(program.name), self._bpffs.program(program.id))

    def _not_needed(self, programs: tuple[ProgramRecord, ...]) -> frozenset[str]:
        """Pins of these programs that no other has."""
        gone = {program.id for program in programs}
        others = (pins_of(program) for _, program in self._ledger.programs() if program.id not in gone)
        return frozenset().union(*(pins_of(program) for program in programs)) - frozenset().union(*others)

    def _pinned(self, found: frozenset[str]) -> dict[str, PinnedProgram]:
        """Ask the kernel who stands behind each program's pin; what cannot be asked is nobody."""
        there = {}
        for name in found:
            if name.startswith("programs/"):
                try:
                    with pins.open_program(self._bpffs.root / name) as program:
                        info = program_info(program.fileno())
                except ConductorError:
                    continue
                there[name] = PinnedProgram(info.id, info.tag)
        return there


def _stem(path: str) -> str:
    return Path(path).name.partition(".")[0]


def _facts(info: ProgramInfo, clock: Callable[[], float] = time.time) -> KernelFacts:
    since_boot = time.clock_gettime(time.CLOCK_BOOTTIME) - info.loaded_at_ns / 1e9
    return KernelFacts(
        name=info.name,
        tag=info.tag,
        loaded_at=rfc3339(clock() - since_boot),
        gpl_compatible=info.gpl_compatible,
        map_ids=tuple(info.map_ids),
        btf_id=info.btf_id,
        bytes_xlated=info.xlated_len,
        jited=info.jited,
        bytes_jited=info.jited_len,
        bytes_memlock=info.memlock,
        verified_insns=info.verified_insns,
    )
