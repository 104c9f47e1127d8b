"""Which program declares which metric: the one place that sees clashes between programs."""

from __future__ import annotations

import threading
from collections.abc import Iterable

from conductor.errors import MetricClash
from conductor.exporter.names import Shape, base_name, sample_names, shape_of
from conductor.model.metrics import MetricSpec

__all__ = ["Catalog"]

_AGENT = "the agent"


class Catalog:
    """Hold the newest declaration of each metric by each program. Thread-safe; the agent's own name is ''."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._shapes: dict[str, dict[str, Shape]] = {}
        self._takers: dict[str, dict[str, str]] = {}
        """Sample name -> family -> one program that declares the family."""

    def enter(self, program: str, spec: MetricSpec) -> None:
        """Note a declaration. Raises `MetricClash` naming both programs when another declares it otherwise."""
        with self._lock:
            self._check(program, spec)
            self._shapes.setdefault(spec.name, {})[program] = shape_of(spec)
            for name in sample_names(spec):
                self._takers.setdefault(name, {})[spec.name] = program

    def check(self, program: str, specs: Iterable[MetricSpec]) -> None:
        """Tell whether declarations would be taken, without noting them. Raises `MetricClash`."""
        with self._lock:
            for spec in specs:
                self._check(program, spec)

    def leave(self, program: str) -> None:
        """Forget every declaration of a program."""
        with self._lock:
            for shapes in self._shapes.values():
                shapes.pop(program, None)
            self._shapes = {family: shapes for family, shapes in self._shapes.items() if shapes}
            for taken in self._takers.values():
                for family in [family for family in taken if family not in self._shapes]:
                    del taken[family]
            self._takers = {name: taken for name, taken in self._takers.items() if taken}

    def _check(self, program: str, spec: MetricSpec) -> None:
        shape = shape_of(spec)
        for other, theirs in self._shapes.get(spec.name, {}).items():
            if other != program and theirs != shape:
                difference = _difference(theirs, shape)
                raise MetricClash(
                    f"{spec.name}: {_named(program)} declares another {difference} than {_named(other)};"
                    " rename the metric in one of them"
                )
        for name in sorted(sample_names(spec)):
            for family in self._takers.get(name, {}):
                if family != spec.name:
                    other = next(iter(self._shapes[family]))
                    raise MetricClash(
                        f"{spec.name} of {_named(program)} and {family} of {_named(other)} would both be written as"
                        f" {name} (family {base_name(spec)}); rename one of them"
                    )


def _named(program: str) -> str:
    return f"program {program}" if program else _AGENT


def _difference(theirs: Shape, ours: Shape) -> str:
    words = ("kind", "help text", "unit", "set of labels", "set of buckets")
    return next(word for word, a, b in zip(words, theirs, ours, strict=True) if a != b)
