"""Labels of an image's config: what bpfman says of bytecode, and of whom a container image is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from conductor.errors import ImageUnusable
from conductor.model.manifest_fields import shown
from conductor.oci.documents import json_object

__all__ = ["LABEL_MAPS", "LABEL_PROGRAMS", "ConfigFacts", "read_config", "read_json"]

LABEL_PROGRAMS: Final = "io.ebpf.programs"
LABEL_MAPS: Final = "io.ebpf.maps"
_OLD_PROGRAM: Final = "io.ebpf.program_name"
_OLD_FUNCTION: Final = "io.ebpf.bpf_function_name"
_OLD_TYPE: Final = "io.ebpf.program_type"
_OLD_FILE: Final = "io.ebpf.filename"
_BYTES_MOST: Final = 1 << 20
_ENTRIES_MOST: Final = 1000
_NAME_LONGEST: Final = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigFacts:
    """What the config of a container image says that matters here."""

    os: str = ""
    architecture: str = ""
    is_bytecode: bool = False
    """It has labels of bytecode, new or old."""
    functions: Mapping[str, str] = field(default_factory=dict)
    maps: Mapping[str, str] = field(default_factory=dict)
    files: tuple[str, ...] = ()
    """Base names that a label, the entry point or the command gives."""


def read_json(body: bytes, what: str) -> Mapping[str, Any]:
    """Read a JSON object that a registry sent. Raises `ImageUnusable`, `ImageTooLarge`."""
    return json_object(body, what, _BYTES_MOST)


def read_config(body: bytes) -> ConfigFacts:
    """Read the config of a container image, OCI or Docker. Raises `ImageUnusable`."""
    config = read_json(body, "the image's config")
    inner = config.get("config") or {}
    inner = inner if isinstance(inner, Mapping) else {}
    labels = inner.get("Labels") or {}
    labels = {str(k): v for k, v in labels.items() if isinstance(v, str)} if isinstance(labels, Mapping) else {}
    return ConfigFacts(
        os=_text(config.get("os")),
        architecture=_text(config.get("architecture")),
        is_bytecode=any(name in labels for name in (LABEL_PROGRAMS, LABEL_MAPS, _OLD_FUNCTION, _OLD_PROGRAM)),
        functions=_functions(labels),
        maps=_table(labels, LABEL_MAPS),
        files=_files(labels, inner),
    )


def _functions(labels: Mapping[str, str]) -> Mapping[str, str]:
    if LABEL_PROGRAMS in labels:
        return _table(labels, LABEL_PROGRAMS)
    name = labels.get(_OLD_FUNCTION) or labels.get(_OLD_PROGRAM, "")
    return {name: labels.get(_OLD_TYPE, "")} if name else {}


def _table(labels: Mapping[str, str], key: str) -> Mapping[str, str]:
    if key not in labels:
        return {}
    wanted = 'where a JSON object of names and types was expected, such as {"count_packets": "xdp"}'
    try:
        found = json_object(labels[key].encode(errors="replace"), key, _BYTES_MOST)
    except ImageUnusable:
        raise ImageUnusable(f"the label {key} is {shown(labels[key])}, {wanted}") from None
    if not all(isinstance(one, str) for one in found.values()):
        raise ImageUnusable(f"the label {key} is {shown(labels[key])}, {wanted}")
    if len(found) > _ENTRIES_MOST or any(len(one) > _NAME_LONGEST for one in (*found, *found.values())):
        raise ImageUnusable(
            f"the label {key} names more than {_ENTRIES_MOST} things, or one by a name that is too long"
        )
    return found


def _files(labels: Mapping[str, str], inner: Mapping[str, Any]) -> tuple[str, ...]:
    """Last parts of paths; where they lead does not matter."""
    named = [labels.get(_OLD_FILE, "")]
    for key in ("Entrypoint", "Cmd"):
        words = inner.get(key)
        named += [word for word in words[:16] if isinstance(word, str)] if isinstance(words, list) else []
    return tuple(dict.fromkeys(base for one in named if (base := one.rpartition("/")[2])))


def _text(value: object) -> str:
    return value[:_NAME_LONGEST] if isinstance(value, str) else ""
