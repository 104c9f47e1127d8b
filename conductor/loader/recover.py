"""What to do about records and pins that an earlier run left: pure, from both to a plan."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from conductor.loader.records import LoadRecord, ProgramRecord
from conductor.model.ids import ProgramId

__all__ = ["PinnedProgram", "Recovery", "pins_of", "recovery"]


@dataclass(frozen=True, slots=True)
class PinnedProgram:
    """Who stands behind a program's pin, by the kernel's word."""

    id: int
    tag: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """`keep` is what is still true, in place of all records before; `write` those of them that changed."""

    keep: tuple[LoadRecord, ...]
    write: tuple[LoadRecord, ...]
    forget: tuple[ProgramId, ...]
    """Keys of records with nothing behind them."""
    unpin: tuple[str, ...]
    """Pins that no kept record speaks of."""


def pins_of(program: ProgramRecord) -> frozenset[str]:
    """Every pin of a program, relative to the bpffs."""
    return frozenset(
        {
            f"programs/{program.id}",
            *(f"links/{link.id}" for link in program.links),
            f"maps/{program.id}",
            *(f"maps/{program.id}/{name}" for name in program.maps),
            *(f"shared/{name}" for name in program.shared),
        },
    )


def recovery(
    records: Collection[LoadRecord],
    *,
    pins: Collection[str],
    programs: Mapping[str, PinnedProgram],
    boot_id: str,
) -> Recovery:
    """Match records with pins; applying the answer and asking again answers nothing to do.

    A program lives if its record is of this boot and its pin holds the very program. A link lives if it is pinned:
    one that was recorded but never attached, or detached but not yet forgotten, has no pin.
    """
    there = frozenset(pins)
    taken: set[int] = set()
    keep: list[LoadRecord] = []
    for record in sorted(records, key=lambda record: record.key):
        living = [
            replace(program, links=tuple(link for link in program.links if f"links/{link.id}" in there))
            for program in record.programs
            if record.boot_id == boot_id and _is_pinned(program, programs) and program.id not in taken
        ]
        taken.update(program.id for program in living)
        if living:
            keep.append(replace(record, programs=tuple(living)))
    before = {record.key: record for record in records}
    kept = {record.key for record in keep}
    spoken_for = frozenset().union(*(pins_of(program) for record in keep for program in record.programs))
    return Recovery(
        keep=tuple(keep),
        write=tuple(record for record in keep if record != before[record.key]),
        forget=tuple(sorted(key for key in before if key not in kept)),
        unpin=tuple(sorted(there - spoken_for)),
    )


def _is_pinned(program: ProgramRecord, programs: Mapping[str, PinnedProgram]) -> bool:
    return programs.get(f"programs/{program.id}") == PinnedProgram(program.id, program.kernel.tag)
