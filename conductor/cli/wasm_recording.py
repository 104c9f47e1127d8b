"""A recording: what a kernel half put into its maps, by time, as lines of JSON that people can read and write.

    {"conductor_recording": 1, "maps": [{"name": "execs", "type": "ringbuf", "key_size": 0, "value_size": 0, …}]}
    {"at": 0.41, "ring": "execs", "records": ["c5120000…", …]}
    {"at": 1.0, "map": "lost", "entries": [["00000000", "0200000000000000"]]}
    {"at": 5.0}

`at` is in seconds and never goes back; the last line's is how long it took. Bytes are hexadecimal. Entries are the whole
content of a map from then on; those of arrays that are not named are 0.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

from conductor.errors import ConductorError, InvalidSpec, ObjectUnreadable
from conductor.model.grants import MapInfo, MapType
from conductor.model.ids import MapId
from conductor.model.manifest_fields import Fields

__all__ = ["Batch", "Moment", "Recording", "Snapshot", "read_recording", "write_head", "write_moment"]

_VERSION = 1
_TYPES = {type_.value: type_ for type_ in MapType}
_LARGEST = 1 << 30


@dataclass(frozen=True, slots=True)
class Batch:
    """Records of a ring buffer."""

    at: float
    ring: str
    records: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The whole content of a map."""

    at: float
    map: str
    entries: Sequence[tuple[bytes, bytes]]


Moment = Batch | Snapshot


@dataclass(frozen=True, slots=True)
class Recording:
    """A recording, read."""

    maps: dict[str, MapInfo] = field(default_factory=dict)
    moments: tuple[Moment, ...] = ()
    seconds: float = 0.0


def write_head(file: IO[str], maps: Sequence[MapInfo]) -> None:
    """Write the first line."""
    told = [{key: value for key, value in asdict(info).items() if key != "id"} for info in maps]
    file.write(json.dumps({"conductor_recording": _VERSION, "maps": told}) + "\n")


def write_moment(file: IO[str], moment: Moment | float) -> None:
    """Write a line; a bare time ends the recording."""
    match moment:
        case Batch():
            told: dict[str, Any] = {"ring": moment.ring, "records": [record.hex() for record in moment.records]}
        case Snapshot():
            told = {"map": moment.map, "entries": [[key.hex(), value.hex()] for key, value in moment.entries]}
        case _:
            told = {}
    at = moment if isinstance(moment, float | int) else moment.at
    file.write(json.dumps({"at": round(at, 6), **told}) + "\n")


def read_recording(path: Path) -> Recording:
    """Read a recording. Raises `ObjectUnreadable`, `InvalidSpec` with the line."""
    try:
        if path.stat().st_size > _LARGEST:
            raise ObjectUnreadable(f"{path}: larger than 1 GiB; record for a shorter time")
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as exc:
        raise ObjectUnreadable(f"{path}: {getattr(exc, 'strerror', None) or 'is no text'}") from exc
    maps: dict[str, MapInfo] = {}
    moments: list[Moment] = []
    last = 0.0
    for number, line in enumerate(lines, 1):
        try:
            document = Fields(json.loads(line), "")
            if number == 1:
                maps = {info.name: info for info in _head(document)}
                continue
            last = _time(document, last)
            moments.extend(_moments(document, last, maps))
        except (ValueError, RecursionError) as exc:
            raise InvalidSpec(f"{path}:{number}", f"is no JSON: {exc}") from exc
        except ConductorError as exc:
            raise InvalidSpec(f"{path}:{number}", str(exc)) from exc
    if not lines:
        raise InvalidSpec(str(path), "is empty; conductor wasm record writes recordings")
    return Recording(maps, tuple(moments), last)


def _head(document: Fields) -> tuple[MapInfo, ...]:
    version = document.integer("conductor_recording", default=0)
    if version != _VERSION:
        raise InvalidSpec(
            "conductor_recording", f"{version} is not {_VERSION}; conductor wasm record writes recordings"
        )
    numbers = iter(range(1, 1 << 16))
    return document.records("maps", lambda fields: _info(fields, MapId(next(numbers))), most=256)


def _info(fields: Fields, id_: MapId) -> MapInfo:
    return MapInfo(
        id=id_,
        name=fields.text("name"),
        type=fields.choice("type", _TYPES),
        key_size=fields.integer("key_size", default=0) or 0,
        value_size=fields.integer("value_size", default=0) or 0,
        max_entries=fields.integer("max_entries", default=0) or 0,
        flags=fields.integer("flags", default=0) or 0,
        cpus=fields.integer("cpus", default=1) or 1,
    )


def _time(document: Fields, last: float) -> float:
    at = document.required("at")
    if isinstance(at, bool) or not isinstance(at, int | float) or not last <= at < 1e9:
        raise InvalidSpec("at", f"{at!r:.40} is no time at or after {last}")
    return float(at)


def _moments(document: Fields, at: float, maps: dict[str, MapInfo]) -> Iterator[Moment]:
    if document.has("ring"):
        ring = _known(document.text("ring"), maps)
        yield Batch(at, ring.name, document.items("records", _bytes, most=1 << 24))
    if document.has("map"):
        info = _known(document.text("map"), maps)
        yield Snapshot(
            at, info.name, document.items("entries", lambda item, path: _entry(item, path, info), most=1 << 24)
        )
    document.refuse_unknown()


def _known(name: str, maps: dict[str, MapInfo]) -> MapInfo:
    if name not in maps:
        raise InvalidSpec(name, f"no such map; the first line has {', '.join(maps) or 'none'}")
    return maps[name]


def _entry(item: object, path: str, info: MapInfo) -> tuple[bytes, bytes]:
    if not isinstance(item, list) or len(item) != 2:
        raise InvalidSpec(path, "is no pair of key and value")
    key, value = _bytes(item[0], path), _bytes(item[1], path)
    if len(key) != info.key_size or len(value) != info.stride:
        raise InvalidSpec(path, f"{len(key)} + {len(value)} bytes; {info.name} has {info.key_size} + {info.stride}")
    return key, value


def _bytes(item: object, path: str) -> bytes:
    try:
        return bytes.fromhex(item)  # type: ignore[arg-type] # refused as any other
    except (TypeError, ValueError) as exc:
        raise InvalidSpec(path, "is not written in hexadecimal") from exc
