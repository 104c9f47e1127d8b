"""The Registry Manager: the programs that come with the agent, with their declared needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from conductor.model.agent import Available
from conductor.model.grants import MapNeed
from conductor.model.metrics import MetricSpec
from conductor.model.program import ProgramType

__all__ = ["Available", "Declared", "RegistryManager"]


class Declared(Protocol):
    """What a built-in says of itself."""

    @property
    def name(self) -> str:
        """Its stem."""
        ...

    @property
    def description(self) -> str:
        """One sentence."""
        ...

    @property
    def needs(self) -> tuple[MapNeed, ...]:
        """Maps it cannot do without."""
        ...

    @property
    def metrics(self) -> tuple[MetricSpec, ...]:
        """Families it writes."""
        ...

    @property
    def config_schema(self) -> Mapping[str, Any]:
        """JSON schema of its config."""
        ...


class RegistryManager:
    """Own the list of built-ins; modules that came in images are listed as images (`ImageManager.images`)."""

    def __init__(self, *, builtins: Sequence[Declared]) -> None:
        self._builtins = tuple(builtins)

    def available(self) -> tuple[Available, ...]:
        """List what can be loaded, by name."""
        return tuple(_available(builtin) for builtin in sorted(self._builtins, key=lambda b: b.name))


def _available(builtin: Declared) -> Available:
    return Available(
        name=builtin.name,
        type=ProgramType.BUILTIN,
        description=builtin.description,
        needs=builtin.needs,
        metrics=builtin.metrics,
        config_schema=builtin.config_schema,
    )
