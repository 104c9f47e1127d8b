"""Wishes of several sources become one set: the strongest source holds a name, the others are told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from conductor.model.ids import Name
from conductor.model.program import ProgramSpec, Source
from conductor.model.status import Condition, State

__all__ = ["Held", "Key", "Merged", "Refused", "Wish", "merge", "name_taken"]

Key = tuple[str, Name]
"""Kind (`KernelProgram` or `UserProgram`) and name of a wish."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """One wish of one source; `generation` counts its specs from 1."""

    spec: ProgramSpec
    generation: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A wish that holds its name."""

    source: Source
    wish: Wish


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A wish whose name a stronger source holds."""

    source: Source
    wish: Wish
    holder: Source


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    """The effective set, by key; and the wishes that lost."""

    held: Mapping[Key, Held]
    refused: tuple[Refused, ...] = ()


def merge(wishes: Mapping[Source, Mapping[Key, Wish]]) -> Merged:
    """Merge wishes: cluster before file before grpc; stable in its order, whatever the order of its input."""
    held: dict[Key, Held] = {}
    refused: list[Refused] = []
    for source in sorted(wishes):
        for key, wish in sorted(wishes[source].items(), key=lambda item: item[0]):
            if key in held:
                refused.append(Refused(source=source, wish=wish, holder=held[key].source))
            else:
                held[key] = Held(source=source, wish=wish)
    return Merged(held=dict(sorted(held.items())), refused=tuple(refused))


def name_taken(refused: Refused, since: float) -> Condition:
    """Condition of a wish that lost its name."""
    name, holder = refused.wish.spec.name, refused.holder.word
    message = f"{name} is held by source {holder}; withdraw it there, or choose another name here"
    return Condition(state=State.FAILED, reason="NameTaken", message=message, since=since)
