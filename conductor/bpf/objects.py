"""BPF objects through libbpf: open, look, change, load. An object owns what it made until it is closed."""

from __future__ import annotations

import ctypes
import os
import warnings
from collections.abc import Collection, Iterator
from ctypes import Structure, c_bool, c_char_p, c_size_t, c_uint32
from pathlib import Path
from typing import Any, ClassVar, Self

from conductor.bpf.btf.check import check_object_btf
from conductor.bpf.captured import captured
from conductor.bpf.declarations import GlobalDecl, MapDecl, ProgramDecl
from conductor.bpf.elf import Elf
from conductor.bpf.kinds import map_type
from conductor.bpf.library import function
from conductor.bpf.loading import last_words, why_refused
from conductor.bpf.object_file import checked_object, globals_of, read_object
from conductor.bpf.refusals import refused
from conductor.bpf.text import c_text
from conductor.errors import InvalidSpec, NotFound, ObjectUnreadable

__all__ = ["BpfObject"]


class _OpenOptions(Structure):
    """struct bpf_object_open_opts as far as we set it; `sz` tells libbpf where it ends."""

    _fields_: ClassVar[Any] = [
        ("sz", c_size_t),
        ("object_name", c_char_p),
        ("relaxed_maps", c_bool),
        ("pin_root_path", c_char_p),
        ("unused", c_uint32),
        ("kconfig", c_char_p),
        ("btf_custom_path", c_char_p),
    ]


class BpfObject:
    """One object through libbpf. Owned: close it, or use `with`; descriptors are borrowed and end with it."""

    def __init__(self, handle: int, elf: Elf, name: str) -> None:
        self._handle, self._name = handle, name
        self._loaded = False
        self._programs = dict(self._each("bpf_object__next_program", "bpf_program__name"))
        self._maps = dict(self._each("bpf_object__next_map", "bpf_map__name"))
        self._globals = {variable.name: variable for variable in globals_of(elf)}
        self._pinned_by_name = frozenset(name for name, at in self._maps.items() if function("bpf_map__pin_path")(at))
        for pinned in self._pinned_by_name:
            # libbpf would pin below /sys/fs/bpf by itself; pins are the loader's to make.
            function("bpf_map__set_pin_path")(self._maps[pinned], None)

    @classmethod
    def open(cls, source: Path | bytes, *, name: str = "", custom_btf: Path | None = None) -> BpfObject:
        """Parse an object; nothing reaches the kernel. Raises `ObjectUnreadable`, `LibraryMissing`."""
        data = read_object(source) if isinstance(source, Path) else source
        shown = str(source) if isinstance(source, Path) else name or "object"
        elf = checked_object(data, shown)
        check_object_btf(elf, shown)
        plain = name or (source.name.split(".")[0] if isinstance(source, Path) else "object")
        options = _OpenOptions(
            sz=ctypes.sizeof(_OpenOptions),
            object_name=c_text(plain, "name").value,
            btf_custom_path=os.fsencode(custom_btf) if custom_btf else None,
        )
        with captured() as said:
            handle = function("bpf_object__open_mem")(data, len(data), ctypes.byref(options))
            number = ctypes.get_errno()
        if not handle:
            raise ObjectUnreadable(f"{shown}: {last_words(said) or os.strerror(number)}")
        return cls(handle, elf, plain)

    # --- what it declares ---------------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """Name given at open, or the file's stem."""
        return self._name

    @property
    def programs(self) -> tuple[ProgramDecl, ...]:
        """Programs in the order of the file, with types as they stand now."""
        self._live()
        return tuple(
            ProgramDecl(
                name=name,
                section=function("bpf_program__section_name")(at).decode(errors="replace"),
                type=function("bpf_program__type")(at),
                expected_attach_type=function("bpf_program__expected_attach_type")(at),
            )
            for name, at in self._programs.items()
        )

    @property
    def maps(self) -> tuple[MapDecl, ...]:
        """Maps in the order of the file, those of global variables included."""
        self._live()
        return tuple(self._map_decl(name, at) for name, at in self._maps.items())

    @property
    def globals(self) -> tuple[GlobalDecl, ...]:
        """Global variables that can be set before load."""
        return tuple(self._globals.values())

    # --- what may be changed before load ------------------------------------------------------------------------------

    def set_global(self, name: str, value: bytes) -> None:
        """Set a variable's initial bytes. Raises `InvalidSpec` when it is unknown or has another size."""
        handle, field = self._live(), f"global_data.{name}"
        variable = self._globals.get(name)
        if variable is None:
            raise InvalidSpec(field, f"no such global variable; {self._name} has {_listed(self._globals)}")
        if len(value) != variable.size:
            raise InvalidSpec(field, f"the variable has {variable.size} bytes, {len(value)} were given")
        size = c_size_t()
        section = function("bpf_object__find_map_by_name")(handle, variable.section.encode())
        start = function("bpf_map__initial_value")(section, ctypes.byref(size)) if section else None
        if not start or variable.offset + variable.size > size.value:
            raise InvalidSpec(field, f"section {variable.section} cannot be changed")
        ctypes.memmove(start + variable.offset, value, len(value))

    def select(self, names: Collection[str]) -> None:
        """Load these programs only. Raises `InvalidSpec` with the names that exist."""
        self._live()
        for name in names:
            self._program(name)
        for name, at in self._programs.items():
            function("bpf_program__set_autoload")(at, name in names)

    def set_program_type(self, name: str, type_: int, expected_attach_type: int = 0) -> None:
        """Override what the section name says. Raises `InvalidSpec`."""
        program = self._program(name)
        self._set(name, "bpf_program__set_type", program, type_)
        self._set(name, "bpf_program__set_expected_attach_type", program, expected_attach_type)

    def set_attach_target(self, name: str, function_name: str) -> None:
        """Fix the kernel function or LSM hook of a tracing program. Raises `InvalidSpec`, `NotFound`."""
        program = self._program(name)
        with captured() as said:
            answer = function("bpf_program__set_attach_target")(program, 0, c_text(function_name, "attach_to"))
        if answer < 0:
            word = last_words(said)
            more = f" ({word})" if word else ""
            raise NotFound(f"{name}: this kernel's BTF has no function or hook {function_name}{more}")

    def resize_map(self, name: str, max_entries: int) -> None:
        """Change a map's capacity. Raises `InvalidSpec`, `KernelRefused`."""
        self._set(name, "bpf_map__set_max_entries", self._map(name), max_entries)

    def reuse_map(self, name: str, fd: int) -> None:
        """Use an existing map in place of the declared one; `fd` stays the caller's. Raises `InvalidSpec`."""
        self._set(name, "bpf_map__reuse_fd", self._map(name), fd)

    # --- the kernel ---------------------------------------------------------------------------------------------------

    def load(self) -> None:
        """Make the maps and load the selected programs, once.

        Raises `VerifierRejected` with the whole log, `NotSupported`, `KernelRefused`, `ObjectUnreadable`. After a
        failure nothing of it is left in the kernel and the object can only be closed.
        """
        handle = self._live()
        if self._loaded:
            raise ValueError(f"{self._name} was loaded before")
        self._loaded = True
        with captured() as said:
            answer = function("bpf_object__load")(handle)
        if answer < 0:
            raise why_refused(said, -answer, self._name)

    def program_fd(self, name: str) -> int:
        """Descriptor of a loaded program, borrowed. Raises `NotFound` when it was not selected or not loaded."""
        fd: int = function("bpf_program__fd")(self._program(name))
        if fd < 0:
            raise NotFound(f"program {name} of {self._name} is not loaded")
        return fd

    def map_fd(self, name: str) -> int:
        """Descriptor of a made map, borrowed. Raises `NotFound` before load."""
        fd: int = function("bpf_map__fd")(self._map(name))
        if fd < 0:
            raise NotFound(f"map {name} of {self._name} is not made yet")
        return fd

    # --- lifetime -----------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Give up every descriptor; what is pinned or attached stays. A second call does nothing."""
        handle, self._handle = self._handle, 0
        if handle:
            function("bpf_object__close")(handle)

    def __enter__(self) -> Self:
        self._live()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_handle", 0):
            warnings.warn(f"object {self._name} was never closed", ResourceWarning, source=self, stacklevel=2)

    # --- inside -------------------------------------------------------------------------------------------------------

    def _live(self) -> int:
        if not self._handle:
            raise ValueError(f"object {self._name} is closed")
        return self._handle

    def _each(self, following: str, named: str) -> Iterator[tuple[str, int]]:
        at = function(following)(self._handle, None)
        while at:
            yield function(named)(at).decode(errors="replace"), at
            at = function(following)(self._handle, at)

    def _program(self, name: str) -> int:
        self._live()
        if name not in self._programs:
            raise InvalidSpec("programs", f"{self._name} has no program {name}; it has {_listed(self._programs)}")
        return self._programs[name]

    def _map(self, name: str) -> int:
        self._live()
        if name not in self._maps:
            raise InvalidSpec("maps", f"{self._name} has no map {name}; it has {_listed(self._maps)}")
        return self._maps[name]

    def _set(self, name: str, setter: str, at: int, value: int) -> None:
        with captured() as said:
            answer = function(setter)(at, value)
        if answer < 0:
            error = OSError(-answer, os.strerror(-answer))
            raise refused(error, f"{name}: {setter}({value}) was refused", helps=last_words(said))

    def _map_decl(self, name: str, at: int) -> MapDecl:
        kind = function("bpf_map__type")(at)
        return MapDecl(
            name=name,
            type=map_type(kind),
            kind=kind,
            key_size=function("bpf_map__key_size")(at),
            value_size=function("bpf_map__value_size")(at),
            max_entries=function("bpf_map__max_entries")(at),
            internal=function("bpf_map__is_internal")(at),
            pinned_by_name=name in self._pinned_by_name,
        )


def _listed(names: Collection[str]) -> str:
    return ", ".join(sorted(names)) or "none"
