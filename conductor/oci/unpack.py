"""One file out of a layer: gzip and tar read as streams, nothing written under a name that an archive gives.

A layer is looked through twice: once for what is in it, once to copy the file that was chosen. Blocking; to be run in
a thread. Every ceiling is on what comes out, so that a small layer cannot grow without end.
"""

from __future__ import annotations

import struct
import tarfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, BinaryIO, Final, cast

from conductor.errors import ImageTooLarge, ImageUnusable
from conductor.model.image import ImageKind
from conductor.model.manifest_fields import shown
from conductor.oci.contents import is_file

__all__ = ["Member", "UnpackLimits", "choose_member", "extract", "refuse_large", "survey"]

_CHUNK: Final = 256 << 10
_BUFFER: Final = 64 << 10
_HEADERS_MOST: Final = 1 << 20
"""Bytes between two files' contents: tar's own long names and extended headers, which are read whole."""
_RATIO_FROM: Final = 1 << 20
_WHITEOUT: Final = ".wh."
_SUFFIX: Final = {ImageKind.WASM: ".wasm", ImageKind.BYTECODE: ".o"}
_BROKEN: Final = (
    tarfile.TarError,
    zlib.error,
    struct.error,
    EOFError,
    ValueError,
    LookupError,
    ArithmeticError,
    RecursionError,
)
"""What tarfile lets through of a header made to harm."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnpackLimits:
    """Ceilings on what a layer becomes."""

    unpacked: int = 256 << 20
    """Bytes of all it holds."""
    file: int = 32 << 20
    """Bytes of the one file."""
    ratio: int = 200
    """Bytes out for each byte in, once a MiB is out."""
    entries: int = 10_000


@dataclass(frozen=True, slots=True)
class Member:
    """One entry of an archive."""

    index: int
    """Its place; -1 where the layer is the file itself."""
    name: str
    """Base name: where the archive would have it put does not matter. Of a bare file what it should end in."""
    size: int
    is_plain: bool
    """A regular file; links, devices and sparse files are not."""


def survey(layer: BinaryIO, limits: UnpackLimits) -> tuple[Member, ...]:
    """List what a layer holds. Raises `ImageUnusable`, `ImageTooLarge`."""
    with _read(layer, limits) as stream:
        head = stream.peek()
        if is_file(head):
            name = ".wasm" if head == b"\0asm" else ".o"
            return (Member(-1, name, sum(map(len, stream.chunks())), is_plain=True),)
        with _opened(stream) as archive:
            return tuple(_member(i, info) for i, info in _infos(archive, stream, limits))


def choose_member(members: Sequence[Member], kind: ImageKind, names: Sequence[str]) -> Member | None:
    """Choose the file that runs; None if there is none. Raises `ImageUnusable` where two could be meant."""
    if len(members) == 1 and members[0].index < 0:
        return members[0]
    for name in (*names, ""):
        found = [m for m in members if m.is_plain and (m.name == name if name else _fits(m.name, kind))]
        if len(found) > 1:
            several = ", ".join(shown(m.name) for m in found[:5])
            raise ImageUnusable(
                f"it holds {len(found)} files that could be meant ({several}), and exactly one is accepted"
            )
        if found:
            return found[0]
    return None


def extract(layer: BinaryIO, member: Member, write: Callable[[bytes], object], limits: UnpackLimits) -> None:
    """Copy one file out of a layer. Raises `ImageUnusable`, `ImageTooLarge`."""
    refuse_large(member, limits)
    with _read(layer, limits) as stream:
        if member.index < 0:
            for chunk in stream.chunks():
                write(chunk)
            return
        with _opened(stream) as archive:
            for i, info in _infos(archive, stream, limits):
                content = archive.extractfile(info) if i == member.index else None
                if content is not None:
                    while chunk := content.read(_CHUNK):
                        write(chunk)
                    return
    raise ImageUnusable("its layer changed while it was read")


def refuse_large(member: Member, limits: UnpackLimits) -> None:
    """Check a file's size against its ceiling. Raises `ImageTooLarge`."""
    if member.size > limits.file:
        raise ImageTooLarge(
            f"{shown(member.name)} in it is {member.size} bytes, past {limits.file >> 20} MiB; strip it "
            "(llvm-strip -g, wasm-opt -Oz)"
        )


def _fits(name: str, kind: ImageKind) -> bool:
    return name.endswith(_SUFFIX[kind]) and not name.startswith((_WHITEOUT, "._"))  # AppleDouble lies beside files


def _member(index: int, info: tarfile.TarInfo) -> Member:
    plain = info.type in (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE)
    return Member(index, info.name.rpartition("/")[2], info.size, is_plain=plain)


class _Stream:
    """What a layer holds, inflated where it is gzip, within ceilings."""

    def __init__(self, layer: BinaryIO, limits: UnpackLimits) -> None:
        self._layer, self._limits = layer, limits
        head = layer.read(2)
        self._ahead = head
        self._inflater = zlib.decompressobj(wbits=31) if head == b"\x1f\x8b" else None
        self._taken, self._given = 0, 0
        self._buffer = b""
        self.allowance = limits.unpacked
        """How much may be read until somebody allows more."""

    def read(self, size: int) -> bytes:
        """Read exactly `size` bytes, fewer at the end."""
        while len(self._buffer) < size:
            more = self._more()
            if not more:
                break
            self._buffer += more
        taken, self._buffer = self._buffer[:size], self._buffer[size:]
        self._allow(len(taken))
        return taken

    def peek(self) -> bytes:
        """Look at the first bytes without taking them."""
        head = self.read(4)
        self._buffer = head + self._buffer
        self.allowance += len(head)
        return head

    def chunks(self) -> Iterator[bytes]:
        """Read to the end."""
        while chunk := self.read(_CHUNK):
            yield chunk

    def _more(self) -> bytes:
        if self._inflater is None:
            return self._count(self._take())
        out = b""
        while not out:
            if self._inflater.eof:  # gzip files may follow one another (RFC 1952, section 2.2)
                rest = self._inflater.unused_data.lstrip(b"\0") or self._take().lstrip(b"\0")
                if not rest:
                    return b""
                self._inflater, self._ahead = zlib.decompressobj(wbits=31), rest
            data = self._inflater.unconsumed_tail or self._take()
            if not data:
                raise EOFError
            out = self._inflater.decompress(data, _CHUNK)
        return self._count(out)

    def _take(self) -> bytes:
        data, self._ahead = self._ahead or self._layer.read(_CHUNK), b""
        self._taken += len(data)
        return data

    def _count(self, out: bytes) -> bytes:
        self._given += len(out)
        if self._given > self._limits.unpacked:
            raise ImageTooLarge(f"its layer unpacks to more than {self._limits.unpacked >> 20} MiB, the most accepted")
        if self._given > max(_RATIO_FROM, self._limits.ratio * self._taken):
            raise ImageTooLarge(
                f"its layer unpacks to more than {self._limits.ratio} times its size, as only an attack does; "
                "build it again"
            )
        return out

    def _allow(self, size: int) -> None:
        self.allowance -= size
        if self.allowance < 0:
            raise ImageUnusable(f"its layer has a tar header of more than {_HEADERS_MOST >> 20} MiB")


@contextmanager
def _read(layer: BinaryIO, limits: UnpackLimits) -> Iterator[_Stream]:
    layer.seek(0)
    try:
        yield _Stream(layer, limits)
    except _BROKEN as exc:
        raise ImageUnusable(
            f"its layer is neither a tar archive, compressed with gzip or not, nor a wasm or ELF file: "
            f"{shown(str(exc) or 'it ends early')}"
        ) from None


def _opened(stream: _Stream) -> tarfile.TarFile:
    stream.allowance = _HEADERS_MOST + _BUFFER  # it reads the first header at once
    return tarfile.open(fileobj=cast("IO[bytes]", stream), mode="r|", bufsize=_BUFFER)  # it reads, and no more


def _infos(archive: tarfile.TarFile, stream: _Stream, limits: UnpackLimits) -> Iterator[tuple[int, tarfile.TarInfo]]:
    """Entries in order; the content of one may be read while it is looked at."""
    index, skipped = 0, 0
    while True:
        stream.allowance = skipped + _HEADERS_MOST + _BUFFER
        info = archive.next()
        if info is None:
            return
        archive.members = []  # type: ignore[attr-defined] # it would keep every one
        if index >= limits.entries:
            raise ImageTooLarge(f"its layer holds more than {limits.entries} entries, the most accepted")
        if info.issparse() or info.size < 0:
            raise ImageUnusable(f"its layer holds {shown(info.name)} as a sparse file; build it with plain tar")
        has_content = info.isreg() or info.type not in tarfile.SUPPORTED_TYPES
        skipped = info.size if has_content else 0
        stream.allowance += skipped
        yield index, info
        index += 1
