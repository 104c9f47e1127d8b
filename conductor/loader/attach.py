"""Attach and detach programs: links are recorded, made, pinned, in this order. Runs on the worker's thread alone."""

from __future__ import annotations

import secrets
import time
from dataclasses import replace

from conductor.bpf import pins
from conductor.errors import AlreadyExists, ConductorError, KernelRefused
from conductor.loader.bpffs import BpfFs
from conductor.loader.hooks import HOOK_OF_TYPE, Hook, hook_words
from conductor.loader.ledger import Ledger
from conductor.loader.links import Neighbour, make_link, place_of, stands
from conductor.loader.records import LinkRecord, ProgramRecord
from conductor.model.ids import LinkId, ProgramId

__all__ = ["Links"]

_LARGEST_ID = 0x7FFF_FFFF
_ENDING = 1.0
"""Seconds that the kernel may take to end a link whose pin somebody else removed; 150 ms were seen."""


class Links:
    """Own every link."""

    def __init__(self, *, ledger: Ledger, bpffs: BpfFs) -> None:
        self._ledger, self._bpffs = ledger, bpffs

    def attach(self, id_: ProgramId, hook: Hook) -> LinkId:
        """Attach a program.

        Raises `NotFound` (program, tracepoint, function, interface), `KernelRefused` (wrong kind for the program),
        `AlreadyExists` (it is attached there), `NotSupported`, `InvalidSpec`, `StateUnwritable`.
        """
        load, program = self._ledger.find(id_)
        _check_kind(program, hook)
        link = LinkRecord(id=self._fresh_id(), hook=hook, place=place_of(hook))
        living = self.living(program)
        for other in living:
            if _is_same(other, link):
                raise AlreadyExists(f"program {id_} ({program.name}) is attached there already, as link {other.id}")
        is_again = any(_is_same(other, link) for other in program.links if other not in living)
        # Links whose interface went are no use to anybody; who attaches again would pile them up.
        self._bpffs.unpin({f"links/{other.id}" for other in program.links if other not in living})
        program = replace(program, links=living)
        # Recorded first: a pin that nobody knows of would stay for ever, a record without a pin is dropped at start.
        self._ledger.put(load.with_program(program.with_link(link)))
        try:
            self._make(program, link, patience=_ENDING if is_again else 0.0)
        except BaseException:
            self._ledger.put(load.with_program(program))
            raise
        return link.id

    def detach(self, id_: LinkId) -> None:
        """Detach. Raises `NotFound`, `KernelRefused`, `StateUnwritable`; past the pin's removal it is detached."""
        load, program, link = self._ledger.find_link(id_)
        self._bpffs.unpin({f"links/{link.id}"})
        self._ledger.put(load.with_program(program.without_link(id_)))

    def living(self, program: ProgramRecord) -> tuple[LinkRecord, ...]:
        """Tell the links of a program that still stand: pinned, and their interface is there. Any thread may ask."""
        return tuple(link for link in program.links if self._stands(link))

    def _stands(self, link: LinkRecord) -> bool:
        pin = self._bpffs.link(link.id)
        if link.place is None:
            return pin.exists()
        try:
            with pins.open_link(pin) as opened:
                return stands(opened.fileno())
        except ConductorError:
            return False

    def _make(self, program: ProgramRecord, link: LinkRecord, patience: float) -> None:
        """Make and pin it; while there is patience, a place that is taken may become free."""
        until = time.monotonic() + patience
        while True:
            try:
                self._make_once(program, link)
            except (AlreadyExists, KernelRefused):
                if time.monotonic() >= until:
                    raise
                time.sleep(0.01)
            else:
                return

    def _make_once(self, program: ProgramRecord, link: LinkRecord) -> None:
        with (
            pins.open_program(self._bpffs.program(program.id)) as opened,
            make_link(opened.fileno(), program.type, link, self._neighbours(link)) as made,
        ):
            self._bpffs.pin(made.fileno(), self._bpffs.link(link.id))

    def _neighbours(self, link: LinkRecord) -> tuple[Neighbour, ...]:
        """Links of ours at the same place; those of one program stand in the order they were made."""
        return tuple(
            Neighbour(other, self._bpffs.link(other.id))
            for _, _, other in self._ledger.links()
            if link.place is not None and other.place == link.place and other.id != link.id
        )

    def _fresh_id(self) -> LinkId:
        """Choose an id that no link has; by chance, so that a late Detach of an old one meets no new one."""
        taken = {link.id for _, _, link in self._ledger.links()}
        while (id_ := LinkId(1 + secrets.randbelow(_LARGEST_ID))) in taken:
            pass
        return id_


def _check_kind(program: ProgramRecord, hook: Hook) -> None:
    fits, given = HOOK_OF_TYPE[program.type], hook_words(hook)
    if fits != given:
        raise KernelRefused(
            f"program {program.id} ({program.name}) is of type {program.type.value}: it attaches by {fits}, not {given}"
        )


def _is_same(one: LinkRecord, other: LinkRecord) -> bool:
    """Whether two links of one program would run it twice for one thing: paths and priorities do not tell."""
    if one.place is None or other.place is None:
        return one.hook == other.hook
    return one.place == other.place and getattr(one.hook, "direction", "") == getattr(other.hook, "direction", "")
