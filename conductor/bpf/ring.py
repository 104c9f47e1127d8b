"""BPF ring buffers by their mapped pages (kernel/bpf/ringbuf.c, kernel 5.8).

Page 0 holds the consumer's position and is ours to write; from page 1 on, read-only, come the producer's position and
the data, which the kernel maps twice in a row so that a record never wraps for its reader.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
from ctypes import c_int, c_long, c_size_t, c_uint64, c_void_p
from typing import Self

from conductor.bpf.descriptor import Descriptor
from conductor.bpf.refusals import refused
from conductor.bpf.syscall import libc
from conductor.errors import KernelRefused, NotAllowed
from conductor.model.grants import MapInfo, MapType

__all__ = ["Ring"]

_mmap = libc.mmap
_mmap.restype, _mmap.argtypes = c_void_p, (c_void_p, c_size_t, c_int, c_int, c_int, c_long)
_munmap = libc.munmap
_munmap.argtypes = (c_void_p, c_size_t)
_FAILED = (1 << 64) - 1
_PAGE = mmap.PAGESIZE


class Ring:
    """The mapped pages of one ring buffer; implements `ports.RingHandle`. Owned: close it, or use `with`."""

    def __init__(self, descriptor: Descriptor, size: int, consumer: int, producer: int) -> None:
        self._descriptor, self._size = descriptor, size
        self._pages = (consumer, producer)
        self._consumed = c_uint64.from_address(consumer)
        self._produced = c_uint64.from_address(producer)

    @classmethod
    def of(cls, fd: int, info: MapInfo) -> Ring:
        """Map the ring buffer behind `fd`, which stays the caller's. Raises `NotAllowed`, `KernelRefused`."""
        if info.type is not MapType.RINGBUF:
            raise KernelRefused(f"map {info.name} is a {info.type}, not a ring buffer")
        descriptor = Descriptor(os.dup(fd))
        consumer = 0
        try:
            consumer = _mapped(descriptor, _PAGE, mmap.PROT_READ | mmap.PROT_WRITE, 0, info)
            producer = _mapped(descriptor, _PAGE + 2 * info.max_entries, mmap.PROT_READ, _PAGE, info)
        except BaseException:
            if consumer:
                _munmap(consumer, _PAGE)
            descriptor.close()
            raise
        return cls(descriptor, info.max_entries, consumer, producer)

    @property
    def size(self) -> int:
        """Bytes of the data area, a power of two."""
        return self._size

    @property
    def data(self) -> int:
        """Address of the data area; position p lies at `data + p % size`."""
        self._descriptor.fileno()
        return self._pages[1] + _PAGE

    def positions(self) -> tuple[int, int]:
        """Consumer and producer position, in bytes since the ring was made."""
        self._descriptor.fileno()
        return self._consumed.value, self._produced.value

    def commit(self, consumer: int) -> None:
        """Give everything before `consumer` back to the kernel. Raises `ValueError` outside what was produced."""
        done, produced = self.positions()
        if not done <= consumer <= produced:
            raise ValueError(f"consumer position {consumer} lies outside {done}..{produced}")
        self._consumed.value = consumer

    def fileno(self) -> int:
        """Descriptor that polls readable when records wait."""
        return self._descriptor.fileno()

    def close(self) -> None:
        """Unmap and close; a second call does nothing. Addresses given out are invalid from then on."""
        if self._descriptor.closed:
            return
        self._descriptor.close()
        del self._consumed, self._produced
        _munmap(self._pages[0], _PAGE)
        _munmap(self._pages[1], _PAGE + 2 * self._size)

    def __enter__(self) -> Self:
        self._descriptor.fileno()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _mapped(descriptor: Descriptor, length: int, access: int, offset: int, info: MapInfo) -> int:
    address = _mmap(None, length, access, mmap.MAP_SHARED, descriptor.fileno(), offset)
    if address is not None and address != _FAILED:
        return int(address)
    number = ctypes.get_errno()
    error = OSError(number, os.strerror(number))
    doing = f"mapping ring buffer {info.name} failed"
    if number in (errno.EPERM, errno.EACCES, errno.EINVAL):
        # A read-only descriptor is answered by EACCES where writing is asked, by EINVAL otherwise (seen on 6.18).
        raise refused(error, doing, helps="open it with Consume or ReadWrite, and a pin of mode 0660", as_=NotAllowed)
    raise refused(error, doing)
