"""Sections of a WebAssembly binary, cut without running or compiling anything (core specification, section 5.5)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from conductor.errors import ObjectUnreadable

__all__ = [
    "CUSTOM",
    "HEADER",
    "Reader",
    "Section",
    "custom_section",
    "is_component",
    "is_wasm",
    "sections",
    "with_custom",
]

HEADER = b"\0asm\1\0\0\0"
"""Magic and version of a core module."""
CUSTOM = 0
_LAYER = b"\0asm\x0d\0\1\0"
"""Magic, version and layer of a component, as wasm tools write it today."""


@dataclass(frozen=True, slots=True)
class Section:
    """One section: where it begins in the module, id byte included, where it ends, and its content."""

    id: int
    start: int
    end: int
    name: str
    """Of a custom section; else empty."""
    content: bytes


class Reader:
    """Read numbers and names from bytes in order. Every method raises `ObjectUnreadable` past the end."""

    def __init__(self, data: bytes, at: int = 0) -> None:
        self.data, self.at = data, at

    @property
    def done(self) -> bool:
        """Whether nothing is left."""
        return self.at >= len(self.data)

    def byte(self) -> int:
        """Answer the next byte."""
        return self.take(1)[0]

    def number(self) -> int:
        """Answer an unsigned LEB128 of at most 32 bits."""
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
            if shift > 28:
                raise ObjectUnreadable(f"a number at byte {self.at} of the module is too long")
        if value >> 32:
            raise ObjectUnreadable(f"a number at byte {self.at} of the module is too large")
        return value

    def take(self, size: int) -> bytes:
        """Answer the next `size` bytes."""
        if self.at + size > len(self.data):
            raise ObjectUnreadable(f"the module ends in the middle of something, after {len(self.data)} bytes")
        self.at += size
        return self.data[self.at - size : self.at]

    def name(self) -> str:
        """Answer a name."""
        raw = self.take(self.number())
        try:
            return raw.decode()
        except UnicodeDecodeError as exc:
            raise ObjectUnreadable(f"a name at byte {self.at} of the module is not UTF-8") from exc


def is_wasm(data: bytes) -> bool:
    """Tell whether this is a core module of version 1."""
    return data[:8] == HEADER


def is_component(data: bytes) -> bool:
    """Tell whether this is a component (layer 1), of any version."""
    return data[:4] == HEADER[:4] and data[6:8] == _LAYER[6:8]


def sections(module: bytes) -> Iterator[Section]:
    """Cut a core module into its sections. Raises `ObjectUnreadable`."""
    if not is_wasm(module):
        raise ObjectUnreadable("this is no WebAssembly module")
    reader = Reader(module, len(HEADER))
    while not reader.done:
        start = reader.at
        id_ = reader.byte()
        content = reader.take(reader.number())
        name = ""
        if id_ == CUSTOM:
            inner = Reader(content)
            name = inner.name()
            content = content[inner.at :]
        yield Section(id_, start, reader.at, name, content)


def custom_section(name: str, content: bytes) -> bytes:
    """Encode a custom section."""
    label = name.encode()
    body = _number(len(label)) + label + content
    return bytes([CUSTOM]) + _number(len(body)) + body


def with_custom(module: bytes, name: str, content: bytes) -> bytes:
    """Answer the module with this one custom section of that name, whatever it had. Raises `ObjectUnreadable`."""
    kept, at = bytearray(), 0
    for section in sections(module):
        if section.name == name:
            kept += module[at : section.start]
            at = section.end
    return bytes(kept + module[at:]) + custom_section(name, content)


def _number(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*out, value))
