"""Reading one mapping field by field; what nobody read is unknown.

The schema has judged a new manifest before; these checks stand for stored ones, and for documents that have no schema.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

from conductor.errors import InvalidSpec

__all__ = ["Fields", "did_you_mean", "shown", "text_of"]

T = TypeVar("T")


class Fields:
    """A mapping at `path`. Each method reads one field; `done` refuses the rest.

    Every method raises `InvalidSpec` with the field's path. `unknown` given: unknown fields are noted there instead
    of being refused (files of another version).
    """

    def __init__(self, raw: object, path: str, unknown: list[str] | None = None) -> None:
        if not isinstance(raw, Mapping):
            raise InvalidSpec(path or "manifest", f"{shown(raw)} is not a mapping")
        self._raw: Mapping[Any, Any] = raw
        self._path, self._unknown = path, unknown
        self._read: set[str] = set()

    def at(self, key: str) -> str:
        """Path of a field; a key that is no plain word is quoted."""
        plain = key if key.isprintable() and len(key) <= 80 else shown(key)
        return f"{self._path}.{plain}" if self._path else plain

    def has(self, key: str) -> bool:
        """Whether a field is there and not null."""
        return self._raw.get(key) is not None

    def value(self, key: str) -> object:
        """Answer a field as it is; None when it is absent."""
        self._read.add(key)
        return self._raw.get(key)

    def required(self, key: str) -> object:
        """Answer a field that must be there."""
        value = self.value(key)
        if value is None:
            raise InvalidSpec(self.at(key), "required")
        return value

    def text(self, key: str, *, default: str | None = None, most: int = 4096, empty: bool = False) -> str:
        """Answer a string of at most `most` characters; without `default` it must be there."""
        value = self.required(key) if default is None else self.value(key)
        if value is None and default is not None:
            return default
        return text_of(value, self.at(key), most=most, empty=empty)

    def integer(self, key: str, *, default: int | None, least: int = 0, most: int = (1 << 31) - 1) -> int | None:
        """Answer a whole number within bounds, 1.0 too; None only where `default` is None."""
        value = self.value(key)
        if value is None:
            return default
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise InvalidSpec(self.at(key), f"{shown(value)} is not a whole number")
        if not least <= value <= most:
            raise InvalidSpec(self.at(key), f"{shown(value)} is not between {least} and {most}")
        return value

    def flag(self, key: str, *, default: bool) -> bool:
        """Answer true or false."""
        value = self.value(key)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise InvalidSpec(self.at(key), f"{shown(value)} is not true or false")
        return value

    def choice(self, key: str, choices: Mapping[str, T], *, default: str | None = None) -> T:
        """Answer what a word stands for."""
        word = self.text(key, default=default)
        if word not in choices:
            raise InvalidSpec(
                self.at(key), f"{shown(word)} is not one of {', '.join(choices)}{did_you_mean(word, choices)}"
            )
        return choices[word]

    def fields(self, key: str, *, required: bool = False) -> Fields:
        """Answer a nested mapping; an absent one is empty unless `required`."""
        value = self.required(key) if required else self.value(key)
        return Fields({} if value is None else value, self.at(key), self._unknown)

    def items(self, key: str, parse: Callable[[object, str], T], *, least: int = 0, most: int = 64) -> tuple[T, ...]:
        """Answer a list, each item parsed with its path."""
        value = self.required(key) if least else self.value(key)
        if value is None:
            return ()
        if not isinstance(value, list | tuple):
            raise InvalidSpec(self.at(key), f"{shown(value)} is not a list")
        if not least <= len(value) <= most:
            raise InvalidSpec(self.at(key), f"has {len(value)} items, not {least} to {most}")
        return tuple(parse(item, f"{self.at(key)}[{i}]") for i, item in enumerate(value))

    def records(self, key: str, parse: Callable[[Fields], T], *, least: int = 0, most: int = 64) -> tuple[T, ...]:
        """Answer a list of mappings, each parsed and then checked for unknown fields."""

        def record(item: object, path: str) -> T:
            fields = Fields(item, path, self._unknown)
            value = parse(fields)
            fields.refuse_unknown()
            return value

        return self.items(key, record, least=least, most=most)

    def texts(self, key: str, *, most: int = 64, longest: int = 256) -> tuple[str, ...]:
        """Answer a list of strings."""
        return self.items(key, lambda item, path: text_of(item, path, most=longest), most=most)

    def words(self, key: str, *, most: int = 64, longest: int = 1024) -> dict[str, str]:
        """Answer a mapping of strings to strings."""
        return {name: text_of(value, path, most=longest, empty=True) for name, value, path in self.entries(key, most)}

    def entries(self, key: str, most: int, longest: int = 256) -> Iterator[tuple[str, object, str]]:
        """Go through a free mapping: key, value and path of each entry; nulls are left out."""
        value = self.value(key)
        if value is None:
            return
        if not isinstance(value, Mapping):
            raise InvalidSpec(self.at(key), f"{shown(value)} is not a mapping")
        if len(value) > most:
            raise InvalidSpec(self.at(key), f"has {len(value)} entries, more than {most}")
        for name, item in value.items():
            checked = text_of(name, self.at(key), most=longest)
            if item is None:
                continue
            yield checked, item, f"{self.at(key)}.{checked if checked.isprintable() else shown(checked)}"

    def one_of(self, *keys: str) -> str:
        """Answer which one of several fields is there; none or two are refused."""
        there = [key for key in keys if self.has(key)]
        if len(there) == 1:
            return there[0]
        found = "none is there" if not there else f"{' and '.join(there)} are both there"
        raise InvalidSpec(self._path or "manifest", f"needs exactly one of {', '.join(keys)}: {found}")

    def ignore(self, *keys: str) -> None:
        """Take fields as read that mean nothing here."""
        self._read.update(keys)

    def refuse_unknown(self) -> None:
        """Refuse what nobody read, naming the near ones."""
        for key in self._raw:
            if key in self._read:
                continue
            name = key if isinstance(key, str) else shown(key)
            if self._unknown is not None:
                self._unknown.append(self.at(name))
            else:
                helps = did_you_mean(name, self._read) or f"; known here: {', '.join(sorted(self._read)) or 'none'}"
                raise InvalidSpec(self.at(name), f"unknown field{helps}")


def text_of(value: object, path: str, *, most: int, empty: bool = False) -> str:
    """Check a string: its length, and that it can be written as UTF-8."""
    if not isinstance(value, str):
        raise InvalidSpec(path, f"{shown(value)} is not a string")
    if not value and not empty:
        raise InvalidSpec(path, "empty")
    if len(value) > most:
        raise InvalidSpec(path, f"is {len(value)} characters long, more than {most}")
    if "\0" in value or any("\ud800" <= c <= "\udfff" for c in value):
        raise InvalidSpec(path, "holds a NUL or half a surrogate pair")
    return value


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """Answer a half-sentence that names what was probably meant; empty when nothing is near."""
    by_lower = {choice.lower(): choice for choice in choices}
    near = difflib.get_close_matches(word.lower()[:80], by_lower, n=2)
    return f"; did you mean {' or '.join(by_lower[n] for n in near)}?" if near else ""


def shown(value: object) -> str:
    """Print a value for a message, cut short."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # an int past the digits limit, a structure that holds itself too deep
        text = f"a {type(value).__name__}"
    return text if len(text) <= 80 else f"{text[:77]}…"
