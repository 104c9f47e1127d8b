"""Who talks to whom by TCP: bytes and connections between workloads, counted by `service_map.bpf.c`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from conductor.builtin.kit.books import Books
from conductor.builtin.kit.declared import Functions, by_kernel, parse_config
from conductor.builtin.kit.ends import EndNames, is_loopback
from conductor.builtin.kit.keys import Slots
from conductor.builtin.kit.ledger import NOWHERE, Row
from conductor.builtin.kit.shown import Shown
from conductor.model.grants import Access, MapNeed, MapType
from conductor.model.kernel import KernelFunctionSpec, KernelType, TracepointLink
from conductor.model.metrics import MetricKind, MetricSpec
from conductor.ports import Program, ProgramContext

__all__ = ["PAIR", "TRAFFIC", "Pace", "Running", "ServiceMap", "functions"]

PAIR = np.dtype(
    [("netns", "u4"), ("port", "u2"), ("role", "u1"), ("pad", "u1"), ("local", "V16"), ("remote", "V16")],
)
TRAFFIC = np.dtype([("counted", "u8", 3), ("active", "i8")])
"""sent, received, opened; then the connections open now."""
CLIENT, SERVER = 1, 2
TTL = 3600.0
EVICT_AT_ONCE = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """Seconds between chores, and how long things may be idle."""

    resolve: float = 30.0
    """Between look-ups of entries that have open connections but did not grow."""
    expire: float = 60.0
    """Between searches for what is idle."""
    idle: float = TTL
    """After which a row, or an entry without connections, goes."""
    idle_when_full: float = 60.0
    """After which an entry goes once the kernel's map is three quarters full."""


LABELS = (
    "role",
    *("client_namespace", "client_name", "client_kind"),
    *("server_namespace", "server_name", "server_kind"),
    "server_port",
)


def _metric(name: str, help_: str, *, unit: str = "", kind: MetricKind = MetricKind.COUNTER) -> MetricSpec:
    return MetricSpec(name=f"service_map_{name}", kind=kind, help=help_, unit=unit, labels=LABELS, ttl=TTL)


COUNTERS = (
    _metric("sent_bytes_total", "TCP payload sent by the observed end.", unit="bytes"),
    _metric("received_bytes_total", "TCP payload received by the observed end.", unit="bytes"),
    _metric("connections_opened_total", "TCP connections established."),
)
ACTIVE = _metric("connections_active", "TCP connections open now.", kind=MetricKind.GAUGE)
LOST_CONNECTIONS = MetricSpec(
    name="service_map_lost_connections_total",
    kind=MetricKind.COUNTER,
    help="TCP connections in no series because a map of the kernel half was full.",
    labels=("map",),
)
LOST_BYTES = MetricSpec(
    name="service_map_lost_bytes_total",
    kind=MetricKind.COUNTER,
    help="TCP payload in no series because the kernel's map of pairs was full.",
    unit="bytes",
    labels=("direction",),
)
LOSSES = (
    (LOST_CONNECTIONS, "pairs"),
    (LOST_BYTES, "sent"),
    (LOST_BYTES, "received"),
    (LOST_CONNECTIONS, "sockets"),
)
"""What the elements of the map `losses` are, in order."""

_EVENTS = {
    "sock_state": "sock/inet_sock_set_state",
    "sock_gone": "tcp/tcp_destroy_sock",
    "sock_read": "tcp/tcp_rcv_space_adjust",
    "sock_heard": "tcp/tcp_probe",
    "sock_sent": "sock/sock_send_length",
}


def functions(kernel: tuple[int, int]) -> Functions:
    """Choose what to attach: tcp_probe names its socket since 6.9; sock_send_length, since 6.3, stands in before."""
    names = ["sock_state", "sock_gone", "sock_read"]
    if kernel >= (6, 9):
        names.append("sock_heard")
    if (6, 3) <= kernel <= (6, 9):
        names.append("sock_sent")
    return tuple(
        KernelFunctionSpec(name=name, type=KernelType.TRACEPOINT, links=(TracepointLink(name=_EVENTS[name]),))
        for name in names
    )


class ServiceMap:
    """The declaration. Needs kernel 5.19; what older kernels than 6.9 cannot tell is in docs/service_map.md."""

    name: ClassVar[str] = "service_map"
    description: ClassVar[str] = "Who talks to whom by TCP: bytes and connections between workloads."
    needs: ClassVar[tuple[MapNeed, ...]] = (
        MapNeed(name="pairs", type=MapType.HASH, key_size=40, value_size=32, access=Access.READ_WRITE),
        MapNeed(name="losses", type=MapType.ARRAY, key_size=4, value_size=8),
    )
    metrics: ClassVar[tuple[MetricSpec, ...]] = (*COUNTERS, ACTIVE, LOST_CONNECTIONS, LOST_BYTES)
    config_schema: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "interval": {
                "type": "number",
                "default": 5,
                "minimum": 0.1,
                "maximum": 300,
                "description": "Seconds between readings.",
            },
            "loopback": {
                "type": "boolean",
                "default": False,
                "description": "Show connections over 127.0.0.0/8 and ::1 too.",
            },
            "external": {
                "type": "string",
                "default": "one",
                "enum": ["one", "ip"],
                "description": "Show unknown addresses as one workload, or each by its IP.",
            },
        },
    }
    kernel_half: ClassVar[Functions] = by_kernel(functions)

    @classmethod
    def open(cls, context: ProgramContext) -> Program:
        """Read on where an earlier run stands."""
        books = Books.of(context, context.maps["pairs"], width=PAIR.itemsize, counters=3)
        return Running(context=context, config=parse_config(cls, context.config), books=books, pace=Pace())


class Running:
    """One instance: reads the kernel half's maps and writes series."""

    def __init__(self, *, context: ProgramContext, config: Mapping[str, Any], books: Books, pace: Pace) -> None:
        self._context, self._config, self._books = context, config, books
        self._names = EndNames(lookup=context.lookup, by_ip=config["external"] == "ip")
        self._shown = Shown(series=context.series, counters=COUNTERS, gauge=ACTIVE)
        self._lost = np.concatenate([self._loss_ids(*lost) for lost in LOSSES])
        self._numbers: dict[int, int] = {}
        self._numbers_of = (-1, -1)
        self._pace = pace
        self._is_settled = False
        self._next = {"resolve": 0.0, "expire": 0.0}

    @property
    def interval(self) -> float:
        """Seconds between ticks."""
        return float(self._config["interval"])

    def tick(self) -> None:
        """Read the kernel's counters, count their growth, save where a crash could mix it up, show it."""
        losses = np.frombuffer(self._context.maps["losses"].entries().values, np.uint64)
        are_new = self._books.ledger.lose(losses.tolist())
        self._count(time.monotonic())
        self._tell_losses(are_new=are_new)

    def close(self) -> None:
        """Save final totals."""
        self._books.close()

    def _is_time(self, chore: Literal["resolve", "expire"], now: float) -> bool:
        if now < self._next[chore]:
            return False
        self._next[chore] = now + (self._pace.resolve if chore == "resolve" else self._pace.expire)
        return True

    def _count(self, now: float) -> None:
        entries = self._context.maps["pairs"].entries()
        pairs, traffic = np.frombuffer(entries.keys, PAIR), np.frombuffer(entries.values, TRAFFIC)
        told = self._are_told(pairs)
        pairs, traffic = pairs[told], traffic[told]
        active = np.maximum(traffic["active"], 0)
        ledger, origin = self._books.ledger, self._books.ledger.origin
        reading = origin.reading(pairs.tobytes(), np.ascontiguousarray(traffic["counted"]), now)
        again = self._is_time("resolve", now)
        due = ledger.due(reading, also=(active > 0) & again)
        ledger.post(reading, due, self._rows(pairs[due], now), now)
        self._books.keep(now)
        place = origin.row[reading.slots]
        gauge = np.zeros(len(ledger.totals), np.int64)
        np.add.at(gauge, place[place != NOWHERE], active[place != NOWHERE])
        self._shown.write(ledger, gauge, now, again=again)
        if self._is_time("expire", now):
            self._evict(reading.slots, pairs, active, now)
            self._shown.expire(ledger, now - self._pace.idle)

    # --- rows ---

    def _are_told(self, pairs: NDArray[np.void]) -> NDArray[np.bool_]:
        """Tell which entries are counted now. While names are on their way, what strangers did stays in the kernel."""
        if self._is_settled or self._books.ledger.subtract_first:
            return np.full(len(pairs), fill_value=True)
        named = self._names.are_named(pairs["local"]) & self._names.are_named(pairs["remote"])
        self._is_settled = self._context.lookup.is_settled()  # only now: whoever asks makes names come
        return named | self._is_settled

    def _rows(self, pairs: NDArray[np.void], now: float) -> Slots:
        """Rows of pairs, NOWHERE for those that are not to be shown."""
        rows = np.full(len(pairs), NOWHERE, np.int64)
        shown = np.full(len(pairs), fill_value=True)
        if not self._config["loopback"]:
            shown = ~(is_loopback(pairs["local"]) | is_loopback(pairs["remote"]))
        pairs = pairs[shown]
        ends = self._names.numbers(np.concatenate([pairs["local"], pairs["remote"]]))
        local, remote = ends[: len(pairs)], ends[len(pairs) :]
        serves = pairs["role"] == SERVER
        client, server = np.where(serves, remote, local), np.where(serves, local, remote)
        codes = client << 40 | server << 17 | pairs["port"].astype(np.int64) << 1 | serves
        unique, back = np.unique(codes, return_inverse=True)
        rows[shown] = self._row_numbers(unique.tolist(), now)[back]
        return rows

    def _row_numbers(self, codes: list[int], now: float) -> Slots:
        valid = (self._names.generation, self._books.ledger.numbering)
        if self._numbers_of != valid:
            self._numbers.clear()
            self._numbers_of = valid
        fresh = [code for code in codes if code not in self._numbers]
        numbers = self._books.ledger.row_numbers([self._labels(code) for code in fresh], now)
        self._numbers.update(zip(fresh, numbers.tolist(), strict=True))
        return np.array([self._numbers[code] for code in codes], np.int64)

    def _labels(self, code: int) -> Row:
        client, server = (self._names.workload(code >> shift & 0x7FFFFF) for shift in (40, 17))
        role = "server" if code & 1 else "client"
        ends = (client.namespace, client.name, client.kind, server.namespace, server.name, server.kind)
        return (role, *ends, str(code >> 1 & 0xFFFF))

    # --- bounds ---

    def _evict(self, slots: Slots, pairs: NDArray[np.void], active: Slots, now: float) -> None:
        """Make room in the kernel's map: what neither is open nor grew for long, and is saved, can be deleted."""
        table, origin = self._context.maps["pairs"], self._books.ledger.origin
        is_full = len(slots) > table.info.max_entries * 3 // 4
        idle = self._pace.idle_when_full if is_full else self._pace.idle
        grew = origin.grew[slots]
        old = np.flatnonzero((active == 0) & (grew < min(now - idle, self._books.ledger.saved_at)))
        old = old[np.argsort(grew[old])][:EVICT_AT_ONCE]
        kept = np.full(len(origin.row), fill_value=True)
        for index in old.tolist():
            key, seen = pairs[index].tobytes(), origin.seen[slots[index]].tobytes()
            value = table.lookup(key)
            if value is not None and value.startswith(seen) and table.delete(key):
                kept[slots[index]] = False
        if not kept.all():
            origin.keep(kept)
            self._books.ledger.unsaved = True

    def _loss_ids(self, metric: MetricSpec, value: str) -> Slots:
        return self._context.series.intern(self._context.series.declare(metric), [(value,)])

    def _tell_losses(self, *, are_new: bool) -> None:
        lost = self._books.ledger.losses
        self._context.series.set(self._lost, np.array(lost, np.float64))
        if are_new:
            missed = sum(lost[index] for index, (metric, _) in enumerate(LOSSES) if metric is LOST_CONNECTIONS)
            self._books.warn(f"a map of the kernel half is full: {missed} connections are not shown so far")
