"""An owned file descriptor: closes once, by `with`."""

from __future__ import annotations

import os
import warnings
from typing import Self

__all__ = ["Descriptor"]


class Descriptor:
    """Own one file descriptor until it is closed or detached."""

    __slots__ = ("_fd",)

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def fileno(self) -> int:
        """Return the number; borrowed. Raises `ValueError` after close."""
        if self._fd < 0:
            raise ValueError("this descriptor is closed")
        return self._fd

    @property
    def closed(self) -> bool:
        """Whether it was closed or given away."""
        return self._fd < 0

    def detach(self) -> int:
        """Give ownership to the caller, who closes the number."""
        fd, self._fd = self.fileno(), -1
        return fd

    def close(self) -> None:
        """Close; a second call does nothing."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def __enter__(self) -> Self:
        self.fileno()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_fd", -1) >= 0:
            warnings.warn(f"descriptor {self._fd} was never closed", ResourceWarning, source=self, stacklevel=2)
