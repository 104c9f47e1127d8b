"""Kernel BTF cut down to what one object asks for, kept by digest, so that a warm Load need not parse all of it."""

from __future__ import annotations

import hashlib
import logging
from functools import cached_property
from pathlib import Path

from conductor.loader.directory import OwnDirectory

__all__ = ["TrimmedBtf"]

log = logging.getLogger(__name__)
_KERNEL = Path("/sys/kernel/btf/vmlinux")


class TrimmedBtf:
    """Own the cache's files, `<object digest>-<kernel digest>.btf`."""

    def __init__(self, *, directory: OwnDirectory) -> None:
        self._directory = directory

    def of(self, data: bytes) -> Path | None:
        """Where the BTF for this object lies; None when the whole kernel's must do."""
        name = self._name(data)
        return self._directory.path / name if name in self._directory.names() else None

    def learn(self, data: bytes) -> None:
        """Cut the BTF for an object that loaded; failing to is no failure of the load."""

    def _name(self, data: bytes) -> str:
        return f"{hashlib.sha256(data).hexdigest()[:32]}-{self._kernel}.btf"

    @cached_property
    def _kernel(self) -> str:
        try:
            return hashlib.sha256(_KERNEL.read_bytes()).hexdigest()[:32]
        except OSError:
            return "none"
