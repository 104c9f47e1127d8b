"""Reach the kernel's objects by id, and ask about opened ones."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from ctypes import Structure

from conductor.bpf.descriptor import Descriptor
from conductor.bpf.refusals import refused
from conductor.bpf.syscall import Command, IdNext, Info, bpf
from conductor.errors import NotFound

__all__ = ["fill_info", "link_by_id", "link_ids", "map_by_id", "map_ids", "program_by_id", "program_ids"]


def fill_info(fd: int, into: Structure, what: str) -> None:
    """Let the kernel fill `into`, cut or zero-filled to its size. Raises `KernelRefused`."""
    request = Info(bpf_fd=fd, info_len=ctypes.sizeof(into), info=ctypes.addressof(into))
    try:
        bpf(Command.OBJ_GET_INFO_BY_FD, request)
    except OSError as error:
        raise refused(error, f"asking the kernel about {what} failed") from error


def _by_id(command: Command, number: int, what: str) -> Descriptor:
    try:
        return Descriptor(bpf(command, IdNext(id=number)))
    except OSError as error:
        raise refused(error, f"{what} {number} cannot be opened") from error


def program_by_id(number: int) -> Descriptor:
    """Open a program by its id (CAP_SYS_ADMIN). Raises `NotFound`, `KernelRefused`."""
    return _by_id(Command.PROG_GET_FD_BY_ID, number, "program")


def map_by_id(number: int) -> Descriptor:
    """Open a map by its id (CAP_SYS_ADMIN). Raises `NotFound`, `KernelRefused`."""
    return _by_id(Command.MAP_GET_FD_BY_ID, number, "map")


def link_by_id(number: int) -> Descriptor:
    """Open a link by its id (CAP_SYS_ADMIN, kernel 5.8). Raises `NotFound`, `KernelRefused`."""
    return _by_id(Command.LINK_GET_FD_BY_ID, number, "link")


def _ids(command: Command) -> Iterator[int]:
    at = 0
    while True:
        request = IdNext(id=at)
        try:
            bpf(command, request)
        except OSError as error:
            failure = refused(error, "listing ids failed")
            if isinstance(failure, NotFound):
                return
            raise failure from error
        at = request.next_id
        yield at


def program_ids() -> Iterator[int]:
    """Every loaded program's id, ascending (CAP_SYS_ADMIN)."""
    return _ids(Command.PROG_GET_NEXT_ID)


def map_ids() -> Iterator[int]:
    """Every map's id, ascending (CAP_SYS_ADMIN)."""
    return _ids(Command.MAP_GET_NEXT_ID)


def link_ids() -> Iterator[int]:
    """Every link's id, ascending (CAP_SYS_ADMIN, kernel 5.8)."""
    return _ids(Command.LINK_GET_NEXT_ID)
