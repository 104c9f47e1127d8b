"""The two text formats: headers, escapes, and the bytes that stand before each number.

Prometheus text 0.0.4 and OpenMetrics 1.0 differ in headers and the last line only; lines of samples are the same
bytes in both (labels sorted by name, as the reference client does), so one encoded block serves both.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from conductor.exporter.names import RESERVED_LABEL, base_name
from conductor.exporter.numbers import go_float
from conductor.model.metrics import MetricKind, MetricSpec

__all__ = ["EOF", "LineStarts", "header", "printable"]

EOF: Final = b"# EOF\n"
"""Last line of an OpenMetrics page."""
_SHARED: Final = 1_024
"""Declarations whose texts are kept once for all programs: a thousand programs of one module have the same."""


@lru_cache(maxsize=_SHARED)
def header(spec: MetricSpec, *, openmetrics: bool) -> bytes:
    """Write the lines before a family's samples."""
    if not openmetrics:
        help_text = printable(spec.help).replace("\\", r"\\").replace("\n", r"\n")
        return f"# HELP {spec.name} {help_text}\n# TYPE {spec.name} {spec.kind}\n".encode()
    name = base_name(spec)
    unit = f"# UNIT {name} {spec.unit}\n" if spec.unit else ""
    return f"# HELP {name} {_escaped(printable(spec.help))}\n# TYPE {name} {spec.kind}\n{unit}".encode()


def printable(text: str) -> str:
    """Replace what UTF-8 cannot carry (lone surrogates of undecodable file names) by a question mark."""
    if text.isascii():
        return text  # the very object, which may be kept in many places
    return text.encode("utf-8", "replace").decode()


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


class LineStarts:
    """Makes `name{a="1",b="2"} ` of rows of label values, once per series: one template per line of a series."""

    __slots__ = ("_program", "_templates")

    def __init__(self, spec: MetricSpec, *, program: str) -> None:
        self._program = _escaped(program)
        self._templates = _templates(spec, bool(program))

    @property
    def lines(self) -> int:
        """Lines of one series: 1, or those of a whole histogram."""
        return len(self._templates)

    def of(self, row: Sequence[str]) -> list[bytes]:
        """Begin each line of one series."""
        values = row
        joined = "".join(row)
        if "\\" in joined or '"' in joined or "\n" in joined:
            values = [_escaped(value) for value in row]
        return [template.format(*values, program=self._program).encode() for template in self._templates]


@lru_cache(maxsize=_SHARED)
def _templates(spec: MetricSpec, has_program: bool) -> tuple[str, ...]:
    fields = {label: f"{{{index}}}" for index, label in enumerate(spec.labels)}
    if has_program:
        fields[RESERVED_LABEL] = "{program}"
    return tuple(_template(suffix, fields | extra) for suffix, extra in _lines(spec))


def _lines(spec: MetricSpec) -> list[tuple[str, dict[str, str]]]:
    """Name and further labels of each line of a series, in the order of the reference client."""
    if spec.kind is not MetricKind.HISTOGRAM:
        return [(spec.name, {})]
    bounds = [*map(go_float, spec.buckets), "+Inf"]
    buckets = [(f"{spec.name}_bucket", {"le": bound}) for bound in bounds]
    # With a negative bound the sum may go down: OpenMetrics then leaves out sum and count.
    totals = ("_count", "_sum") if spec.buckets[0] >= 0 else ()
    return [*buckets, *((spec.name + suffix, {}) for suffix in totals)]


def _template(name: str, fields: dict[str, str]) -> str:
    labels = ",".join(f'{label}="{fields[label]}"' for label in sorted(fields))
    return f"{name}{{{{{labels}}}}} " if labels else f"{name} "
