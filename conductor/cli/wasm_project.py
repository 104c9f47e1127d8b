"""A folder that holds one wasm program, in whichever language, and the SDK that comes with this package."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import conductor
from conductor.errors import InvalidSpec, ObjectUnreadable
from conductor.model.ids import Name, parse_name

__all__ = ["Language", "Project", "sdk_folder"]


class Language(StrEnum):
    """What guests can be written in, as `--lang` spells it."""

    C = "c"
    RUST = "rust"
    GO = "go"
    ASSEMBLYSCRIPT = "assemblyscript"


_MARKS = {"Cargo.toml": Language.RUST, "go.mod": Language.GO, "package.json": Language.ASSEMBLYSCRIPT}


@dataclass(frozen=True, slots=True)
class Project:
    """One program's folder. `needs` is `needs.json` as it was written, not checked yet."""

    folder: Path
    name: Name
    language: Language
    needs: dict[str, Any]

    @classmethod
    def of(cls, folder: Path) -> Project:
        """Look into a folder. Raises `InvalidSpec`, `ObjectUnreadable`."""
        folder = folder.resolve()
        if not folder.is_dir():
            raise ObjectUnreadable(f"{folder}: no such folder; conductor wasm new NAME makes one")
        needs = _needs_of(folder / "needs.json")
        name = parse_name(needs.get("name", folder.name), f"{folder / 'needs.json'}: name")
        return cls(folder, name, _language_of(folder, name), needs)

    @property
    def module(self) -> Path:
        """Where the built module goes."""
        return self.folder / f"{self.name}.wasm"

    @property
    def kernel_source(self) -> Path:
        """The kernel half, if there is one."""
        return self.folder / f"{self.name}.bpf.c"

    @property
    def kernel_object(self) -> Path:
        """Where the built kernel half goes."""
        return self.folder / f"{self.name}.bpf.o"


def sdk_folder() -> Path:
    """Where the SDKs lie: inside the installed package, or beside it in a checkout. Raises `ObjectUnreadable`."""
    package = Path(conductor.__file__).parent
    for folder in (package / "sdk", package.parent / "sdk"):
        if (folder / "c" / "conductor.h").is_file():
            return folder
    raise ObjectUnreadable(
        f"the SDKs are missing from this installation (looked in {package / 'sdk'}); install it anew"
    )


def _needs_of(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except OSError as exc:
        raise ObjectUnreadable(f"{path}: {exc.strerror}") from exc
    except (ValueError, RecursionError) as exc:
        raise InvalidSpec(str(path), f"is no JSON: {exc}") from exc
    if not isinstance(document, dict):
        raise InvalidSpec(str(path), "is no JSON object")
    return document


def _language_of(folder: Path, name: Name) -> Language:
    for mark, language in _MARKS.items():
        if (folder / mark).is_file():
            return language
    if (folder / f"{name}.c").is_file():
        return Language.C
    raise InvalidSpec(
        str(folder), f"holds no program: neither {name}.c (C), nor Cargo.toml, go.mod or package.json is there"
    )
