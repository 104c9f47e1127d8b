"""The page at `/`: programs with state, reason and cost, as one HTML document. Pure: everything is an argument."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Final

from conductor.api.page_style import STYLE
from conductor.api.views import timestamp
from conductor.model.kernel import (
    KernelFunctionStatus,
    KprobeLink,
    LinkStatus,
    TcLink,
    TcxLink,
    TracepointLink,
    UprobeLink,
)
from conductor.model.status import Condition, Cost, KernelStatus, ProgramStatus, State

__all__ = ["Overview", "page_html"]

_LOOKS: Final = {
    State.RUNNING: "good",
    State.FAILED: "bad",
    State.QUARANTINED: "bad",
    State.WAITING: "wait",
    State.PULLING: "wait",
    State.UPDATING: "wait",
}
_UNKNOWN: Final = '<span class="soft">–</span>'  # noqa: RUF001 -- a dash, for what nobody measured
_REFRESH_SECONDS: Final = 5
_PROGRAM_HEADS: Final = (
    *("Program", "State", "Reason", "Since"),
    *("Restarts", "Series", "CPU", "Memory", "Kernel run time", "Lost events"),
)
_KERNEL_HEADS: Final = ("Kernel program", "State", "Reason", "Since", "Functions and links", "Runs", "Run time")


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """What the page shows."""

    now: float
    node: str = ""
    version: str = ""
    ready: bool = True
    reasons: Sequence[str] = ()
    programs: Sequence[ProgramStatus] = ()
    costs: Sequence[Cost] = ()
    kernel: Sequence[KernelStatus] = field(default=())


def page_html(view: Overview) -> str:
    """Write the whole document; every text from outside is escaped."""
    costs = {cost.name: cost for cost in view.costs}
    programs = sorted(view.programs, key=lambda status: status.spec.name)
    kernel = sorted(view.kernel, key=lambda status: status.spec.name)
    title = f"eBPFConductor{f' on {view.node}' if view.node else ''}"
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="refresh" content="{_REFRESH_SECONDS}">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body>"
        f"{_head(view)}<main>"
        f"<h2>Programs <small>{len(programs)}</small></h2>"
        + _table(_PROGRAM_HEADS, 4, (_program(p, costs.get(p.spec.name), view.now) for p in programs), _NO_PROGRAMS)
        + f"<h2>Kernel programs <small>{len(kernel)}</small></h2>"
        + _table(_KERNEL_HEADS, 5, (_kernel(k, view.now) for k in kernel), "No kernel program is asked for.")
        + f"</main><footer>{timestamp(view.now) or ''} · refreshed every {_REFRESH_SECONDS} s</footer></body></html>\n"
    )


_NO_PROGRAMS: Final = "No program is loaded. Try <code>conductor load builtin service_map</code>."


def _head(view: Overview) -> str:
    badge = '<span class="state good">ready</span>' if view.ready else '<span class="state bad">not ready</span>'
    about = " · ".join(escape(word) for word in (view.node, view.version and f"version {view.version}") if word)
    reasons = "".join(f"<li>{escape(reason)}</li>" for reason in view.reasons)
    return (
        f"<header><h1>eBPFConductor</h1>{badge}<span>{about}</span>"
        '<nav><a href="/metrics">Metrics</a><a href="/api/v1/programs">JSON</a><a href="/readyz">Readiness</a></nav>'
        f"</header>{f'<ul>{reasons}</ul>' if reasons else ''}"
    )


def _table(heads: Sequence[str], words: int, rows: Iterable[str], empty: str) -> str:
    """A table whose first `words` columns are text, the others numbers; or a sentence where there is no row."""
    body = "".join(rows)
    if not body:
        return f'<div class="box"><div class="empty">{empty}</div></div>'
    cells = "".join(f"<th{'' if i < words else _NUMBER}>{escape(head)}</th>" for i, head in enumerate(heads))
    return f'<div class="box"><table><thead><tr>{cells}</tr></thead><tbody>{body}</tbody></table></div>'


_NUMBER: Final = ' class="n"'


def _program(status: ProgramStatus, cost: Cost | None, now: float) -> str:
    spec = status.spec
    lost = sum(cost.events_dropped.values()) if cost else None
    numbers = (
        f"{status.restarts:,}",
        _series(cost),
        _seconds(cost.cpu_seconds if cost else None),
        _bytes(cost.memory_bytes if cost else None),
        _seconds(cost.kernel_run_seconds if cost else None),
        _UNKNOWN if lost is None else f"{lost:,}",
    )
    origin = f"{spec.type.word} · {status.source.word} · generation {status.generation}"
    return (
        f"<tr><th>{escape(spec.name)}<small>{origin}</small></th>{_condition(status.condition, now)}"
        + "".join(f"<td{_NUMBER}>{number}</td>" for number in numbers)
        + "</tr>"
    )


def _kernel(status: KernelStatus, now: float) -> str:
    needed = f"<small>for {escape(', '.join(status.needed_by))}</small>" if status.needed_by else ""
    runs = [function.runs for function in status.functions if function.runs is not None]
    seconds = [function.run_seconds for function in status.functions if function.run_seconds is not None]
    functions = "".join(map(_function, status.functions)) or _UNKNOWN
    return (
        f"<tr><th>{escape(status.spec.name)}{needed}</th>{_condition(status.condition, now)}<td>{functions}</td>"
        f"<td{_NUMBER}>{f'{sum(runs):,}' if runs else _UNKNOWN}</td>"
        f"<td{_NUMBER}>{_seconds(sum(seconds) if seconds else None)}</td></tr>"
    )


def _function(function: KernelFunctionStatus) -> str:
    places = ", ".join(filter(None, map(_place, function.links))) or f"{len(function.links)} links"
    return (
        f'<div><code>{escape(function.name)}</code> <span class="soft">{function.type.value} #{function.id}</span>'
        f"<small>{escape(places)}</small></div>"
    )


def _place(link: LinkStatus) -> str:
    """Where a link sits, in a few words."""
    match link.attach:
        case TracepointLink(name=name):
            return name
        case KprobeLink(function=function, offset=offset):
            return f"{function}+{offset}" if offset else function
        case UprobeLink(target=target, function=function):
            return f"{target}:{function}"
        case TcLink(direction=direction) | TcxLink(direction=direction):
            return f"{link.interface} {direction.value}"
        case _:
            return link.interface


def _condition(condition: Condition, now: float) -> str:
    reason = f"<b>{escape(condition.reason)}</b> " if condition.reason else ""
    return (
        f'<td><span class="state {_LOOKS.get(condition.state, "")}">{condition.state.word}</span></td>'
        f'<td class="why">{reason}{escape(condition.message)}</td>'
        f'<td title="{timestamp(condition.since) or ""}" class="soft">{_age(condition.since, now)}</td>'
    )


def _series(cost: Cost | None) -> str:
    if cost is None:
        return _UNKNOWN
    refused = f"<small>{cost.series_refused:,} refused</small>" if cost.series_refused else ""
    return f"{cost.series:,}{refused}"


def _age(since: float, now: float) -> str:
    if not since:
        return ""
    seconds = max(0, int(now - since))
    unit, size = next(((u, s) for u, s in (("d", 86_400), ("h", 3_600), ("min", 60)) if seconds >= 2 * s), ("s", 1))
    return f"{seconds // size} {unit}"


def _seconds(value: float | None) -> str:
    if value is None:
        return _UNKNOWN
    if value >= 100:
        return f"{value:,.0f} s"
    return f"{value:.2f} s" if value >= 1 or not value else f"{value * 1e3:.3g} ms"


def _bytes(value: int | None) -> str:
    if value is None:
        return _UNKNOWN
    for unit, size in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value} B"
