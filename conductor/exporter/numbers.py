"""Numbers as text in bulk: whole arrays of float64 become the ends of lines, `12.0` and a newline.

The spelling is that of the reference client (Go's `strconv` with Python's `repr`): positive numbers from 1e6 on have
an exponent, whole numbers keep every digit, infinities are `+Inf` and `-Inf`.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["Objects", "go_float", "line_ends"]

Objects = NDArray[np.object_]
"""An array of `bytes` objects (numpy moves the pointers; no Python code runs per element)."""

_BATCH: Final = 8_192
"""Numbers formatted at once: temporaries stay in the cache and no single step holds the interpreter for long."""
_EXPONENT_FROM: Final = 1e6
_EXPONENT_UNTIL: Final = 1e16  # from here on repr itself writes an exponent
_POWERS: Final = 10 ** np.arange(17, dtype=np.uint64)
_FOUR: Final = np.frombuffer("".join(f"{i:04d}" for i in range(10_000)).encode(), np.uint32)
"""The four digits of each number below 10,000, as one machine word."""
_SMALL: Final = np.array([f"{i}.0\n".encode() for i in range(1_000)], dtype=object)
"""Ready text of the whole numbers that counters mostly show; shared, so that many zeros cost one object."""
_WIDTH: Final = 26
_COLUMNS: Final = np.arange(_WIDTH)


def go_float(value: float) -> str:
    """Spell one number as the reference client does."""
    return line_ends(np.array([value], np.float64))[0].decode()[:-1]  # type: ignore[no-any-return]


def line_ends(values: NDArray[np.float64]) -> Objects:
    """Spell every number, each followed by a newline.

    Three roads, by what was timed for 100,000 numbers (ms): ready objects for whole numbers below 1,000 (1.5); digit
    matrices for whole numbers (12; `map(repr)` needs 23 and knows no Go exponents); one `repr` of the whole list and
    a split for the rest (25 to 60, the shortest spelling of a fraction is Python's C code in any case).
    """
    out: Objects = np.empty(len(values), object)
    for low in range(0, len(values), _BATCH):
        _batch(values[low : low + _BATCH], out[low : low + _BATCH])
    return out


def _batch(values: NDArray[np.float64], out: Objects) -> None:
    with np.errstate(invalid="ignore"):
        whole = (values == np.floor(values)) & (values < _EXPONENT_UNTIL) & ~np.signbit(values)
    small = whole & (values < len(_SMALL))
    if small.any():
        out[small] = _SMALL[values[small].astype(np.int64)]
    middle = whole & ~small
    large = middle & (values >= _EXPONENT_FROM)
    middle &= ~large
    if middle.any():
        out[middle] = _plain(values[middle].astype(np.uint64))
    if large.any():
        out[large] = _with_exponent(values[large].astype(np.uint64))
    rest = ~whole
    if rest.any():
        out[rest] = _fractions(values[rest])


def _digits(numbers: NDArray[np.uint64]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Digits from the left, 16 columns, and how many each number really has."""
    count = np.searchsorted(_POWERS, numbers, side="right")
    scaled = numbers * _POWERS[16 - count]
    high, low = np.divmod(scaled, np.uint64(10**8))
    groups = np.empty((len(numbers), 4), np.uint32)
    for column, half in ((0, high), (2, low)):
        upper, lower = np.divmod(half, np.uint64(10**4))
        groups[:, column], groups[:, column + 1] = _FOUR[upper], _FOUR[lower]
    return groups.view(np.uint8), count


def _plain(numbers: NDArray[np.uint64]) -> list[bytes]:
    digits, count = _digits(numbers)
    text = np.zeros((len(numbers), 10), np.uint8)
    text[:, :6] = np.where(_COLUMNS[:6] < count[:, None], digits[:, :6], 0)
    _put(text, count, b".0\n")
    return _objects(text)


def _with_exponent(numbers: NDArray[np.uint64]) -> list[bytes]:
    digits, count = _digits(numbers)
    text = np.zeros((len(numbers), _WIDTH), np.uint8)
    text[:, 0], text[:, 1], text[:, 2:17] = digits[:, 0], ord("."), digits[:, 1:]
    significant = 16 - np.argmax(digits[:, ::-1] != ord("0"), axis=1)
    return _finish(text, np.where(significant == 1, 1, significant + 1), count)


def _finish(text: NDArray[np.uint8], end: NDArray[np.int64], count: NDArray[np.int64]) -> list[bytes]:
    """Cut each mantissa at `end` and append the exponent of a number with `count` digits before the point."""
    text[end[:, None] <= _COLUMNS] = 0
    _put(text, end, b"e+00\n")
    rows = np.arange(len(text))
    tens, ones = np.divmod(count - 1, 10)
    text[rows, end + 2] += tens.astype(np.uint8)
    text[rows, end + 3] += ones.astype(np.uint8)
    return _objects(text)


def _put(text: NDArray[np.uint8], at: NDArray[np.int64], tail: bytes) -> None:
    rows = np.arange(len(text))
    for offset, byte in enumerate(tail):
        text[rows, at + offset] = byte


def _objects(text: NDArray[np.uint8]) -> list[bytes]:
    """Make bytes of rows padded with NUL (numpy cuts the padding of its S type)."""
    return text.view(f"S{text.shape[1]}").ravel().tolist()


def _fractions(values: NDArray[np.float64]) -> Objects:
    """Spell what has a fraction, a sign or no finite value."""
    out: Objects = np.empty(len(values), object)
    out[:] = (repr(values.tolist())[1:-1] + "\n").encode().replace(b", ", b"\n").splitlines(keepends=True)
    shifted = (values >= _EXPONENT_FROM) & (values < _EXPONENT_UNTIL)
    if shifted.any():
        out[shifted] = _shifted(out[shifted], values[shifted])
    out[np.isnan(values)] = b"NaN\n"
    out[values == math.inf] = b"+Inf\n"
    out[values == -math.inf] = b"-Inf\n"
    return out


def _shifted(texts: Objects, values: NDArray[np.float64]) -> list[bytes]:
    """Move the point of `1234567.5` behind the first digit. A fraction never ends in 0, so nothing is to be cut."""
    text = texts.astype(f"S{_WIDTH}").view(np.uint8).reshape(len(texts), _WIDTH)
    count = np.searchsorted(_POWERS, values.astype(np.uint64), side="right")
    for digits in sorted(set(count.tolist())):
        rows = count == digits
        part = text[rows]
        part[:, 2 : digits + 1] = part[:, 1:digits]
        part[:, 1] = ord(".")
        text[rows] = part
    return _finish(text, np.count_nonzero(text, axis=1) - 1, count)
