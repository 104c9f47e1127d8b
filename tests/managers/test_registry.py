"""What can be loaded here."""

from __future__ import annotations

from conductor.builtin import BUILTINS
from conductor.managers.registry import RegistryManager
from conductor.model.program import ProgramType


def test_every_builtin_is_there_with_what_it_needs() -> None:
    available = {each.name: each for each in RegistryManager(builtins=BUILTINS).available()}
    assert list(available) == sorted(builtin.name for builtin in BUILTINS)
    service_map = available["service_map"]
    assert service_map.type is ProgramType.BUILTIN
    assert [need.name for need in service_map.needs] == ["pairs", "losses"]
    assert "interval" in service_map.config_schema["properties"]
    assert service_map.description
    assert service_map.metrics
