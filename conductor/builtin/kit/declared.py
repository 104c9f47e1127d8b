"""What a built-in says of itself, and the checks of its config."""

from __future__ import annotations

import platform
import re
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Protocol, cast

from conductor.errors import InvalidSpec
from conductor.model.grants import MapNeed
from conductor.model.kernel import KernelFunctionSpec
from conductor.model.metrics import MetricSpec
from conductor.ports import Program, ProgramContext

__all__ = ["Builtin", "Functions", "by_kernel", "kernel_version", "parse_config"]

Functions = tuple[KernelFunctionSpec, ...]


class Builtin(Protocol):
    """A program that comes with the agent: one stem. The class is a declaration; `open` makes what runs."""

    name: ClassVar[str]
    description: ClassVar[str]
    needs: ClassVar[tuple[MapNeed, ...]]
    metrics: ClassVar[tuple[MetricSpec, ...]]
    config_schema: ClassVar[Mapping[str, Any]]
    """A JSON schema: an object whose properties have type, default, and minimum, maximum or enum."""
    kernel_half: ClassVar[Functions]
    """Functions of `NAME.bpf.o` with their links; empty where there is no kernel half."""

    @classmethod
    def open(cls, context: ProgramContext) -> Program:
        """Start it; `context.config` has passed `parse_config`. Raises `ConductorError`."""
        ...


class _ByKernel:
    """A class attribute that is chosen when it is asked for."""

    def __init__(self, choose: Callable[[tuple[int, int]], Functions]) -> None:
        self.choose = choose

    def __get__(self, instance: object, owner: type) -> Functions:
        return self.choose(kernel_version(platform.release()))


def by_kernel(choose: Callable[[tuple[int, int]], Functions]) -> Functions:
    """Make a `kernel_half` that depends on the version of the kernel that runs here."""
    return cast("Functions", _ByKernel(choose))


def kernel_version(release: str) -> tuple[int, int]:
    """Major and minor of a release such as `6.1.0-18-amd64`; (0, 0) when it does not begin with numbers."""
    found = re.match(r"(\d+)\.(\d+)", release)
    return (int(found[1]), int(found[2])) if found else (0, 0)


_KINDS: dict[str, tuple[type, ...]] = {"number": (int, float), "integer": (int,), "boolean": (bool,), "string": (str,)}


def parse_config(builtin: type[Builtin], config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Check a config against the declared schema and fill in defaults. Raises `InvalidSpec`."""
    properties: Mapping[str, Mapping[str, Any]] = builtin.config_schema["properties"]
    for key in config:
        if key not in properties:
            raise InvalidSpec(f"config.{key}", f"{builtin.name} has no such setting; it has {', '.join(properties)}")
    return {key: _value(f"config.{key}", config[key], rule) if key in config else rule["default"]
            for key, rule in properties.items()}  # fmt: skip


def _value(field: str, value: Any, rule: Mapping[str, Any]) -> Any:
    kind = rule["type"]
    if not isinstance(value, _KINDS[kind]) or (isinstance(value, bool) and kind != "boolean") or value != value:  # noqa: PLR0124 - NaN
        raise InvalidSpec(field, f"{value!r:.80} is no {kind}")
    if "enum" in rule and value not in rule["enum"]:
        raise InvalidSpec(field, f"{value!r:.80} is none of {', '.join(map(repr, rule['enum']))}")
    if not rule.get("minimum", value) <= value <= rule.get("maximum", value):
        raise InvalidSpec(field, f"{value!r:.80} is not from {rule['minimum']} to {rule['maximum']}")
    return value
