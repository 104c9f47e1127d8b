"""WASI preview 1, our own: enough for the runtimes of C, Rust, Go and AssemblyScript, and nothing of the host.

Arguments and environment are empty, clocks and random work, standard output and error become log lines, a poll may
wait for clocks within the call's deadline, exit ends the instance. The rest answers ENOSYS, or EBADF where it names
a descriptor.
"""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Callable
from typing import Final

from conductor.errors import CallBudget, ProgramExited
from conductor.wasm.abi import Level, Type
from conductor.wasm.hostcalls.own import LINE_BYTES, OwnCalls
from conductor.wasm.memory import GuestMemory
from conductor.wasm.meter import CallMeter

__all__ = ["FUNCTIONS", "MODULES", "WasiCalls"]

MODULES: Final = ("wasi_snapshot_preview1",)
_OK, _BADF, _INVAL, _NOSYS, _2BIG = 0, 8, 28, 52, 1
_WORD, _LONG = Type.I32, Type.I64


def _f(parameters: str, result: str = "i") -> tuple[tuple[Type, ...], tuple[Type, ...]]:
    kinds = {"i": _WORD, "l": _LONG}
    return tuple(kinds[one] for one in parameters), tuple(kinds[one] for one in result)


FUNCTIONS: Final = {
    "args_get": _f("ii"),
    "args_sizes_get": _f("ii"),
    "environ_get": _f("ii"),
    "environ_sizes_get": _f("ii"),
    "clock_res_get": _f("ii"),
    "clock_time_get": _f("ili"),
    "fd_advise": _f("illi"),
    "fd_allocate": _f("ill"),
    "fd_close": _f("i"),
    "fd_datasync": _f("i"),
    "fd_fdstat_get": _f("ii"),
    "fd_fdstat_set_flags": _f("ii"),
    "fd_fdstat_set_rights": _f("ill"),
    "fd_filestat_get": _f("ii"),
    "fd_filestat_set_size": _f("il"),
    "fd_filestat_set_times": _f("illi"),
    "fd_pread": _f("iiili"),
    "fd_prestat_get": _f("ii"),
    "fd_prestat_dir_name": _f("iii"),
    "fd_pwrite": _f("iiili"),
    "fd_read": _f("iiii"),
    "fd_readdir": _f("iiili"),
    "fd_renumber": _f("ii"),
    "fd_seek": _f("ilii"),
    "fd_sync": _f("i"),
    "fd_tell": _f("ii"),
    "fd_write": _f("iiii"),
    "path_create_directory": _f("iii"),
    "path_filestat_get": _f("iiiii"),
    "path_filestat_set_times": _f("iiiilli"),
    "path_link": _f("iiiiiii"),
    "path_open": _f("iiiiillii"),
    "path_readlink": _f("iiiiii"),
    "path_remove_directory": _f("iii"),
    "path_rename": _f("iiiiii"),
    "path_symlink": _f("iiiii"),
    "path_unlink_file": _f("iii"),
    "poll_oneoff": _f("iiii"),
    "proc_exit": _f("i", ""),
    "proc_raise": _f("i"),
    "sched_yield": _f(""),
    "random_get": _f("ii"),
    "sock_accept": _f("iii"),
    "sock_recv": _f("iiiiii"),
    "sock_send": _f("iiiii"),
    "sock_shutdown": _f("ii"),
}
"""Name -> parameters and results, as the witx files of preview 1 lower them."""

_IOVS: Final = 1024
_SUBSCRIPTIONS: Final = 1024
_STEP: Final = 0.05
"""Seconds between looks at whether the instance should end, while a guest sleeps."""


class WasiCalls:
    """WASI calls of one instance."""

    __slots__ = ("_lines", "_memory", "_meter", "_own")

    def __init__(self, *, own: OwnCalls, memory: Callable[[], GuestMemory], meter: CallMeter) -> None:
        self._own, self._memory, self._meter = own, memory, meter
        self._lines = {1: b"", 2: b""}

    def args_sizes_get(self, count: int, size: int) -> int:
        """No arguments."""
        return self._zero(count, size)

    def environ_sizes_get(self, count: int, size: int) -> int:
        """No environment."""
        return self._zero(count, size)

    def args_get(self, _pointers: int, _buffer: int) -> int:
        """No arguments."""
        return _OK

    def environ_get(self, _pointers: int, _buffer: int) -> int:
        """No environment."""
        return _OK

    def clock_res_get(self, clock: int, out: int) -> int:
        """Every clock counts nanoseconds."""
        if clock > 3:
            return _INVAL
        self._memory().write(out, struct.pack("<Q", 1))
        return _OK

    def clock_time_get(self, clock: int, _precision: int, out: int) -> int:
        """Clocks: 0 since 1970, 1 monotonic, 2 and 3 CPU of this call."""
        if clock > 3:
            return _INVAL
        self._memory().write(out, struct.pack("<Q", self._now(clock)))
        return _OK

    def random_get(self, out: int, size: int) -> int:
        """Fill with random bytes."""
        self._memory().at(out, size)
        self._memory().write(out, os.urandom(size))
        return _OK

    def sched_yield(self) -> int:
        """Let others run."""
        time.sleep(0)
        return _OK

    def fd_fdstat_get(self, descriptor: int, out: int) -> int:
        """Standard streams are character devices that can be written, or read as empty."""
        if descriptor > 2:
            return _BADF
        rights = 1 << 6 if descriptor else 1 << 1
        self._memory().write(out, struct.pack("<BxHxxxxQQ", 2, 0, rights, 0))
        return _OK

    def fd_fdstat_set_flags(self, descriptor: int, _flags: int) -> int:
        """Accept flags of standard streams; they change nothing."""
        return _OK if descriptor <= 2 else _BADF

    def fd_close(self, descriptor: int) -> int:
        """Accept that standard streams are closed; they stay."""
        return _OK if descriptor <= 2 else _BADF

    def fd_read(self, descriptor: int, _iovs: int, _count: int, out: int) -> int:
        """Standard input is at its end."""
        if descriptor != 0:
            return _BADF
        self._memory().write(out, struct.pack("<I", 0))
        return _OK

    def fd_write(self, descriptor: int, iovs: int, count: int, out: int) -> int:
        """Standard output and error become log lines."""
        if descriptor not in self._lines:
            return _BADF
        if count > _IOVS:
            return _INVAL
        memory = self._memory()
        memory.at(out, 4)
        total = 0
        for pointer, size in struct.iter_unpack("<II", memory.read(iovs, 8 * count)):
            memory.at(pointer, size)
            total += size
            self._take(descriptor, memory.read(pointer, min(size, 16 * LINE_BYTES)))
        memory.write(out, struct.pack("<I", total & 0xFFFFFFFF))
        return _OK

    def poll_oneoff(self, subscriptions: int, out: int, count: int, happened: int) -> int:
        """Wait for the nearest of some clocks; descriptors are ready at once."""
        if not 0 < count <= _SUBSCRIPTIONS:
            return _INVAL
        memory = self._memory()
        raw = memory.read(subscriptions, 48 * count)
        memory.at(out, 32 * count)
        memory.at(happened, 4)
        asked = [_subscription(raw[48 * i : 48 * i + 48]) for i in range(count)]
        waits = [self._seconds(*clock) if clock else 0.0 for _, _, clock in asked]
        self._sleep(min(waits))
        ready = [(data, kind) for (data, kind, _), wait in zip(asked, waits, strict=True) if wait <= min(waits)]
        events = b"".join(struct.pack("<QHBxxxxxQHxxxxxx", data, 0, kind, 0, 0) for data, kind in ready)
        self._memory().write(out, events)
        self._memory().write(happened, struct.pack("<I", len(ready)))
        return _OK

    def proc_exit(self, code: int) -> int:
        """End the instance."""
        raise ProgramExited(f"the program ended itself with exit code {code}")

    def _zero(self, first: int, second: int) -> int:
        for out in (first, second):
            self._memory().write(out, struct.pack("<I", 0))
        return _OK

    def _now(self, clock: int) -> int:
        if clock == 0:
            return time.time_ns()
        return time.monotonic_ns() if clock == 1 else int(self._meter.spent() * 1e9)

    def _seconds(self, clock: int, timeout: int, flags: int) -> float:
        nanoseconds = timeout - self._now(min(clock, 1)) if flags & 1 else timeout
        return max(0.0, nanoseconds / 1e9)

    def _sleep(self, seconds: float) -> None:
        """Wait, but not past the call's deadline. Raises `CallBudget` there."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if self._meter.wall_left() <= 0:
                raise CallBudget(self._meter.verdict() or f"it slept {seconds:g} s, past the end of its call")
            time.sleep(min(left, _STEP, max(0.0, self._meter.wall_left())))

    def _take(self, descriptor: int, text: bytes) -> None:
        *lines, rest = (self._lines[descriptor] + text).split(b"\n")
        if len(rest) > LINE_BYTES:
            lines.append(rest)
            rest = b""
        self._lines[descriptor] = rest
        for line in lines:
            if line.strip():
                level = Level.INFO if descriptor == 1 else Level.WARNING
                self._own.say(level, line[:LINE_BYTES].decode(errors="replace"))


def _subscription(raw: bytes) -> tuple[int, int, tuple[int, int, int] | None]:
    """User data, kind, and clock, timeout and flags where it is a clock."""
    data, kind, clock, timeout, _precision, flags = struct.unpack("<QBxxxxxxxIxxxxQQHxxxxxx", raw)
    return data, kind, (clock, timeout, flags) if kind == 0 else None
