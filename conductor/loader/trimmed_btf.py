"""Kernel BTF cut down to what one object asks for, kept by digest, so that a Load need not parse all of it."""

from __future__ import annotations

import hashlib
import logging
from functools import cached_property
from pathlib import Path

from conductor.bpf.btf import cut_btf, has_relocations
from conductor.errors import ConductorError
from conductor.loader.directory import OwnDirectory

__all__ = ["TrimmedBtf"]

log = logging.getLogger(__name__)
_BTF = Path("/sys/kernel/btf")
_MOST = 256


class TrimmedBtf:
    """Own the cache's files, `<object digest>-<kernel digest>.btf`; an empty one says that cutting is of no use."""

    def __init__(self, *, directory: OwnDirectory) -> None:
        self._directory = directory

    def of(self, data: bytes) -> Path | None:
        """Where the BTF for this object lies, cut now (0.1 s) if need be; None when the whole kernel's must do."""
        name = self._name(data)
        size = self._directory.size(name)
        if size is None:
            size = self._keep(name, self._cut(data))
        return self._directory.reach(name) if size else None

    def give_up(self, data: bytes) -> None:
        """Remember that an object needs the whole kernel's BTF."""
        self._keep(self._name(data), b"")

    def _cut(self, data: bytes) -> bytes:
        try:
            if not has_relocations(data):
                return b""
            return cut_btf(data, (_BTF / "vmlinux").read_bytes(), modules=self._has_modules())
        except (ConductorError, OSError) as error:
            log.info("the whole kernel's BTF is used: %s", error)
            return b""
        except Exception:
            # Strangers' objects meet our reader of BTF; libbpf's own answer to them counts, not ours.
            log.exception("cutting BTF failed; the whole kernel's is used")
            return b""

    def _keep(self, name: str, btf: bytes) -> int:
        try:
            old = [other for other in self._directory.names() if other.endswith(".btf")]
            for other in old[: max(0, len(old) - _MOST + 1)]:
                self._directory.remove(other)
            self._directory.write(name, btf)
        except ConductorError as error:
            log.warning("cut-down BTF is not kept: %s", error)
            return 0
        return len(btf)

    def _name(self, data: bytes) -> str:
        modules = "-m" if self._has_modules() else ""
        return f"{hashlib.sha256(data).hexdigest()[:32]}-{self._kernel}{modules}.btf"

    @cached_property
    def _kernel(self) -> str:
        try:
            return hashlib.sha256((_BTF / "vmlinux").read_bytes()).hexdigest()[:32]
        except OSError:
            return "none"

    @staticmethod
    def _has_modules() -> bool:
        try:
            return any(entry.name != "vmlinux" for entry in _BTF.iterdir())
        except OSError:
            return False
