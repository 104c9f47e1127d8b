"""Parsers of single settings: a raw value from any layer becomes a typed one, or `ValueError` says what is wrong."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

__all__ = [
    "Parser",
    "account_or_none",
    "accounts",
    "address",
    "one_of",
    "path",
    "path_or_none",
    "paths",
    "prefixes",
    "seconds",
    "socket_path",
    "switch",
    "text",
    "user",
]

Parser = Callable[[object], Any]

_NUMBER_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_YES, _NO = {"1", "true", "yes", "on"}, {"0", "false", "no", "off", ""}
_ACCOUNT = re.compile(r"[a-zA-Z0-9_][-a-zA-Z0-9_.]{0,31}\$?")


def text(raw: object) -> str:
    """Read text; numbers are welcome."""
    if not isinstance(raw, str | int | float) or isinstance(raw, bool):
        raise ValueError(f"expected text, got {type(raw).__name__}")  # noqa: TRY004 - one class for all bad values
    if "\0" in str(raw):
        raise ValueError("holds a zero byte")
    return str(raw).strip()


def one_of(*allowed: str) -> Parser:
    """Make a parser of one word out of several."""

    def parse(raw: object) -> str:
        word = text(raw).lower()
        if word not in allowed:
            raise ValueError(f"{word!r} is none of {', '.join(allowed)}")
        return word

    return parse


def switch(raw: object) -> bool:
    """Read on or off."""
    if isinstance(raw, bool):
        return raw
    word = text(raw).lower()
    if word not in _YES | _NO:
        raise ValueError(f"{word!r} is neither true nor false")
    return word in _YES


def path(raw: object) -> Path:
    """Read an absolute path."""
    found = Path(text(raw))
    if not found.is_absolute():
        raise ValueError(f"{str(found)!r} is no absolute path")
    return found


def socket_path(raw: object) -> Path:
    """Read a path that fits a socket's address."""
    found = path(raw)
    if len(str(found).encode()) > 107:
        raise ValueError("a socket's path has at most 107 bytes; choose a shorter one")
    return found


def path_or_none(raw: object) -> Path | None:
    """Read an absolute path; empty is None."""
    return path(raw) if raw not in (None, "") else None


def _items(raw: object) -> Sequence[object]:
    """Split what variables write as `a,b`, flags as `--x a --x b`, and TOML as a list."""
    if isinstance(raw, list | tuple):
        return raw
    return [item for item in text(raw).split(",") if item]


def paths(raw: object) -> tuple[Path, ...]:
    """Read absolute paths."""
    return tuple(path(item) for item in _items(raw))


def prefixes(raw: object) -> tuple[tuple[Path, Path], ...]:
    """Read FROM=TO pairs of absolute paths."""
    pairs = []
    for item in _items(raw):
        here, equals, there = text(item).partition("=")
        if not equals:
            raise ValueError(f"{item!r} is not written FROM=TO")
        pairs.append((path(here), path(there)))
    return tuple(pairs)


def _account(raw: object) -> str:
    name = text(raw)
    if not _ACCOUNT.fullmatch(name):
        raise ValueError(f"{name!r} is neither a name nor a number")
    return name


def account_or_none(raw: object) -> str:
    """Read the name or number of a group; empty stays empty."""
    return _account(raw) if raw != "" else ""


def user(raw: object) -> str:
    """Read USER[:GROUP], each a name or a number."""
    name, colon, group = text(raw).partition(":")
    return _account(name) + (f":{_account(group)}" if colon else "")


def accounts(raw: object) -> tuple[str, ...]:
    """Read names or numbers of groups."""
    return tuple(_account(item) for item in _items(raw))


def address(raw: object) -> str:
    """Read HOST:PORT, :PORT or [IPV6]:PORT."""
    word = text(raw)
    host, colon, port = word.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if not colon or not port.isdecimal() or int(port) > 65535 or (":" in host and not bracketed):
        raise ValueError(f"{word!r} is not written HOST:PORT, :PORT or [IPV6]:PORT")
    return word


def seconds(raw: object) -> float:
    """Read a duration of at most a day, in seconds."""
    word = text(raw)
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|h)?", word)
    if not found or not 0 < (span := float(found[1]) * _NUMBER_UNITS[found[2] or "s"]) <= 86_400:
        raise ValueError(f"{word!r} is no duration such as 15s or 1m")
    return span
