"""The names file for machines without a cluster: an address and who stands behind it, line by line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

from conductor.model.facts import Workload

__all__ = ["LINES", "NamesFile", "address_of", "parse_names"]

LINES = 100_000
FILE_BYTES = 16 << 20
SHOWN = 5
PART = 253


@dataclass(slots=True)
class NamesFile:
    """Own what a names file said when it was read last; it is read again when it has changed."""

    path: Path
    names: Mapping[bytes, Workload] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    _stamp: tuple[int, int, int] | None = None

    def refresh(self) -> bool:
        """Read the file if it has changed; answer whether anything is different now."""
        before = (self.names, self.problems)
        try:
            stat = self.path.stat()
            stamp = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
            if stamp == self._stamp:
                return False
            with self.path.open("rb") as file:
                text = file.read(FILE_BYTES).decode("utf-8", "replace")
        except OSError as exc:
            self._stamp = None
            self.problems = (f"names file {self.path}: {exc.strerror or exc}; what it said before still counts",)
            return before[1] != self.problems
        self._stamp = stamp
        self.names, bad = parse_names(text)
        self.problems = _told(self.path, bad)
        return before != (self.names, self.problems)


def parse_names(text: str) -> tuple[dict[bytes, Workload], tuple[str, ...]]:
    """Parse `IP NAME` and `IP NAMESPACE/KIND/NAME` lines; answer names by address, and a sentence per bad line.

    Empty lines and what follows a `#` do not count; the first line of an address wins.
    """
    names: dict[bytes, Workload] = {}
    bad: list[str] = []
    lines = text.splitlines()
    if len(lines) > LINES:
        bad.append(f"lines past {LINES} are too many")
    for number, line in enumerate(lines[:LINES], 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        try:
            address, workload = _entry(words)
        except ValueError as exc:
            bad.append(f"line {number}: {exc}")
            continue
        if names.setdefault(address, workload) != workload:
            bad.append(f"line {number}: {words[0]} has a name already")
    return names, tuple(bad)


def address_of(text: str) -> bytes:
    """16 bytes of an address, IPv4 as v4-mapped. Raises `ValueError`."""
    address = ip_address(text.partition("%")[0])
    return bytes(10) + b"\xff\xff" + address.packed if isinstance(address, IPv4Address) else _packed(address)


def _packed(address: IPv6Address) -> bytes:
    return address.packed


def _entry(words: list[str]) -> tuple[bytes, Workload]:
    if len(words) != 2:
        raise ValueError("is not an address and one name")
    try:
        address = address_of(words[0])
    except ValueError:
        raise ValueError(f"{words[0][:64]!r} is not an address") from None
    parts = words[1].split("/")
    if len(parts) not in (1, 3) or not all(parts) or not words[1].isprintable() or max(map(len, parts)) > PART:
        raise ValueError(f"{words[1][:64]!r} is not NAME or NAMESPACE/KIND/NAME")
    if len(parts) == 1:
        return address, Workload(kind="Host", name=parts[0])
    return address, Workload(namespace=parts[0], kind=parts[1], name=parts[2])


def _told(path: Path, bad: tuple[str, ...]) -> tuple[str, ...]:
    if not bad:
        return ()
    more = f"; and {len(bad) - SHOWN} more" if len(bad) > SHOWN else ""
    return (f"names file {path}: {'; '.join(bad[:SHOWN])}{more}; these lines are passed over",)
