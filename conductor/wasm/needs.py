"""What a module cannot do without, as its custom section `conductor_v1.needs` says it (JSON).

`{"abi": 1, "interval": 5, "maps": [{"name": "counts", "type": "hash", "key_size": 4, "value_size": 16,
"access": "Read"}], "metrics": [{"name": ..., "type": ..., "help": ...}], "config": {JSON schema}}`; all but `abi` may
be left out. `losses` in a ring buffer's entry names the need of an array whose entry 0 counts refused reservations.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from conductor.errors import InvalidSpec
from conductor.model.grants import Access, MapNeed, MapType
from conductor.model.manifest_fields import Fields
from conductor.model.metrics import MetricKind, MetricSpec
from conductor.wasm.abi import NEEDS_SECTION, VERSION

__all__ = ["DEFAULT_INTERVAL", "Needs", "metric_of", "needs_text", "parse_needs"]

DEFAULT_INTERVAL = 5.0
MAPS_MOST = 64
METRICS_MOST = 1000
SECTION_BYTES = 256 << 10
_TYPES = {kind.value: kind for kind in MapType}
_ACCESS = {access.word: access for access in Access}
_KINDS = {kind.value: kind for kind in MetricKind}


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What a module asks for. A module without the section asks for nothing."""

    version: int = VERSION
    interval: float = DEFAULT_INTERVAL
    """Seconds between ticks, unless the config says `interval`."""
    maps: tuple[MapNeed, ...] = ()
    losses: Mapping[str, str] = field(default_factory=dict)
    """Ring buffer's need -> need of the array whose entry 0 counts what the kernel could not put there."""
    metrics: tuple[MetricSpec, ...] = ()
    config_schema: Mapping[str, Any] = field(default_factory=dict)


def parse_needs(text: bytes) -> Needs:
    """Read the section. Raises `InvalidSpec` naming the field."""
    if len(text) > SECTION_BYTES:
        raise InvalidSpec(NEEDS_SECTION, f"is {len(text)} bytes, past {SECTION_BYTES >> 10} KiB")
    try:
        fields = Fields(json.loads(text), NEEDS_SECTION, unknown=[])
    except (ValueError, RecursionError) as exc:
        raise InvalidSpec(NEEDS_SECTION, f"is no JSON: {exc}") from exc
    version = fields.integer("abi", default=VERSION, least=1)
    if version != VERSION:
        raise InvalidSpec(
            f"{NEEDS_SECTION}.abi", f"is {version}; this agent speaks version {VERSION}: build it for that"
        )
    maps = _items(fields, "maps", MAPS_MOST)
    needs = tuple(_map(one, i) for i, one in enumerate(maps))
    if len({need.name for need in needs}) != len(needs):
        raise InvalidSpec(f"{NEEDS_SECTION}.maps", "names a map twice")
    return Needs(
        interval=_interval(fields.value("interval")),
        maps=needs,
        losses=_losses(maps, {need.name for need in needs}),
        metrics=tuple(
            metric_of(one, f"{NEEDS_SECTION}.metrics[{i}]")
            for i, one in enumerate(_items(fields, "metrics", METRICS_MOST))
        ),
        config_schema=_schema(fields.value("config")),
    )


def needs_text(needs: Needs) -> bytes:
    """Write the section; `parse_needs` reads it back the same."""
    document: dict[str, Any] = {"abi": needs.version, "interval": needs.interval}
    if needs.maps:
        document["maps"] = [_map_out(need, needs.losses) for need in needs.maps]
    if needs.metrics:
        document["metrics"] = [_metric_out(metric) for metric in needs.metrics]
    if needs.config_schema:
        document["config"] = dict(needs.config_schema)
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()


def metric_of(raw: object, path: str) -> MetricSpec:
    """Read a declaration of a metric, as `metric_declare` takes it. Raises `InvalidSpec`."""
    fields = Fields(raw, path, unknown=[])
    ttl = _number(fields.value("ttl"), fields.at("ttl"))
    return MetricSpec(
        name=fields.text("name", most=255),
        kind=fields.choice("type", _KINDS),
        help=fields.text("help", default="", empty=True, most=1024),
        unit=fields.text("unit", default="", empty=True, most=64),
        labels=tuple(_texts(fields.value("labels"), fields.at("labels"))),
        buckets=tuple(_numbers(fields.value("buckets"), fields.at("buckets"))),
        ttl=ttl,
    )


def _items(fields: Fields, key: str, most: int) -> list[object]:
    raw = fields.value(key)
    if raw is None:
        return []
    if not isinstance(raw, list) or len(raw) > most:
        raise InvalidSpec(fields.at(key), f"is no list of at most {most} entries")
    return raw


def _map(raw: object, i: int) -> MapNeed:
    fields = Fields(raw, f"{NEEDS_SECTION}.maps[{i}]", unknown=[])
    kind = fields.choice("type", _TYPES)
    if kind is MapType.PERF_EVENT_ARRAY:
        raise InvalidSpec(
            fields.at("type"),
            "is a perf buffer, which no program reads: that takes CAP_PERFMON, and an agent has no capability; let the "
            "kernel program use a ring buffer (ringbuf) instead",
        )
    default = Access.CONSUME if kind in (MapType.RINGBUF, MapType.QUEUE, MapType.STACK) else Access.READ
    return MapNeed(
        name=fields.text("name", most=128),
        type=kind,
        key_size=fields.integer("key_size", default=0) or 0,
        value_size=fields.integer("value_size", default=0) or 0,
        access=fields.choice("access", _ACCESS, default=default.word),
    )


def _losses(maps: list[object], known: set[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for i, raw in enumerate(maps):
        counter = raw.get("losses") if isinstance(raw, Mapping) else None
        if counter is None:
            continue
        if counter not in known:
            raise InvalidSpec(f"{NEEDS_SECTION}.maps[{i}].losses", "names none of the maps")
        assert isinstance(raw, Mapping)
        found[raw["name"]] = counter
    return found


def _interval(raw: object) -> float:
    seconds = _number(raw, f"{NEEDS_SECTION}.interval")
    if seconds is None:
        return DEFAULT_INTERVAL
    if not 0.05 <= seconds <= 86_400:
        raise InvalidSpec(f"{NEEDS_SECTION}.interval", "is not between 0.05 and 86400 seconds")
    return seconds


def _schema(raw: object) -> Mapping[str, Any]:
    if raw is None:
        return {}
    if not isinstance(raw, dict) or not isinstance(raw.get("properties", {}), dict):
        raise InvalidSpec(f"{NEEDS_SECTION}.config", "is no JSON schema of an object")
    return raw


def _number(raw: object, path: str) -> float | None:
    if raw is None:
        return None
    if isinstance(raw, bool) or not isinstance(raw, int | float) or raw != raw or abs(raw) > 1e300:  # noqa: PLR0124
        raise InvalidSpec(path, "is no number")
    return float(raw)


def _numbers(raw: object, path: str) -> list[float]:
    if raw is None:
        return []
    if not isinstance(raw, list) or len(raw) > 1000:
        raise InvalidSpec(path, "is no list of at most 1000 numbers")
    return [number for one in raw if (number := _number(one, path)) is not None]


def _texts(raw: object, path: str) -> list[str]:
    if raw is None:
        return []
    if not isinstance(raw, list) or len(raw) > 64 or not all(isinstance(one, str) for one in raw):
        raise InvalidSpec(path, "is no list of at most 64 names")
    return raw


def _map_out(need: MapNeed, losses: Mapping[str, str]) -> dict[str, Any]:
    written: dict[str, Any] = {
        "name": need.name,
        "type": need.type.value,
        "key_size": need.key_size,
        "value_size": need.value_size,
        "access": need.access.word,
    }
    return {**written, "losses": losses[need.name]} if need.name in losses else written


def _metric_out(metric: MetricSpec) -> dict[str, Any]:
    written: dict[str, Any] = {"name": metric.name, "type": metric.kind.value, "help": metric.help}
    optional = {"unit": metric.unit, "labels": list(metric.labels), "buckets": list(metric.buckets)}
    written.update({key: value for key, value in optional.items() if value})
    return {**written, "ttl": metric.ttl} if metric.ttl is not None else written
