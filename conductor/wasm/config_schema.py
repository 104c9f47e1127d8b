"""A program's config against the schema that its module carries: the small part of JSON schema that flat settings need."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from conductor.errors import InvalidSpec
from conductor.model.manifest_fields import did_you_mean

__all__ = ["checked_config"]

_KINDS: dict[str, tuple[type, ...]] = {
    "number": (int, float),
    "integer": (int,),
    "boolean": (bool,),
    "string": (str,),
    "array": (list, tuple),
    "object": (Mapping,),
}
_OURS = "interval"
"""A setting that every wasm program has: seconds between ticks."""


def checked_config(schema: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    """Answer the config with defaults filled in. Raises `InvalidSpec` naming the setting. Without a schema all is taken."""
    interval = config.get(_OURS)
    if interval is not None and (
        isinstance(interval, bool) or not isinstance(interval, int | float) or not 0.05 <= interval <= 86_400
    ):
        raise InvalidSpec(f"config.{_OURS}", f"{interval!r:.80} is not from 0.05 to 86400 seconds")
    properties: Mapping[str, Any] = schema.get("properties") or {}
    if not schema:
        return dict(config)
    for key in config:
        if key not in properties and key != _OURS and schema.get("additionalProperties", False) is False:
            known = ", ".join(sorted({*properties, _OURS}))
            raise InvalidSpec(
                f"config.{key}", f"the program has no such setting{did_you_mean(key, properties)}; it has {known}"
            )
    checked = dict(config)
    for key, rule in properties.items():
        if key in config:
            _check(f"config.{key}", config[key], rule if isinstance(rule, Mapping) else {})
        elif isinstance(rule, Mapping) and "default" in rule:
            checked[key] = rule["default"]
    for key in schema.get("required") or ():
        if key not in checked:
            raise InvalidSpec(f"config.{key}", "the program needs it")
    return checked


def _check(field: str, value: Any, rule: Mapping[str, Any]) -> None:
    kind = rule.get("type")
    allowed = _KINDS.get(kind) if isinstance(kind, str) else None
    if allowed and (not isinstance(value, allowed) or (isinstance(value, bool) and kind != "boolean")):
        raise InvalidSpec(field, f"{value!r:.80} is no {kind}")
    choices = rule.get("enum")
    if isinstance(choices, list) and value not in choices:
        raise InvalidSpec(field, f"{value!r:.80} is none of {', '.join(map(repr, choices))}")
    if isinstance(value, int | float) and not isinstance(value, bool):
        least, most = rule.get("minimum"), rule.get("maximum")
        if (isinstance(least, int | float) and value < least) or (isinstance(most, int | float) and value > most):
            raise InvalidSpec(field, f"{value!r:.80} is not from {least} to {most}")
