"""Guests written by hand: WebAssembly text around a few lines of body, with imports added as they are used."""

from __future__ import annotations

import re
import struct

from wasmtime import wat2wasm

from conductor.wasm.abi import IMPORTS, MODULE, NEEDS_SECTION, Type
from conductor.wasm.hostcalls.wasi import FUNCTIONS, MODULES
from conductor.wasm.needs import Needs, needs_text
from conductor.wasm.sections import custom_section

__all__ = ["Wat", "counting", "ring_counter", "stream_counter", "trap_once"]

_WORDS = {Type.I32: "i32", Type.I64: "i64"}
_CALLS = {one.name: ([kind for _, kind in one.parameters], [one.result], MODULE) for one in IMPORTS} | {
    name: (list(parameters), list(results), MODULES[0]) for name, (parameters, results) in FUNCTIONS.items()
}


class Wat:
    """A module in the making. Free memory begins at `HEAP`; below lie the texts."""

    HEAP = 65_536

    def __init__(self) -> None:
        self._data: list[str] = []
        self._at = 1024

    def place(self, content: bytes) -> int:
        """Place bytes in memory, 8-byte aligned; answers where."""
        at = self._at
        escaped = "".join(f"\\{byte:02x}" for byte in content)
        self._data.append(f'(data (i32.const {at}) "{escaped}")')
        self._at = (at + len(content) + 7) // 8 * 8
        assert self._at < self.HEAP
        return at

    def text(self, text: str) -> str:
        """Place text; answers pointer and size as operands."""
        raw = text.encode()
        return f"(i32.const {self.place(raw)}) (i32.const {len(raw)})"

    def build(
        self,
        *,
        tick: str = "(i32.const 0)",
        start: str = "",
        events: str = "",
        save: str = "",
        healthy: str = "",
        other: str = "",
        pages: int = 4,
        needs: Needs | None = None,
        exports: str = "",
    ) -> bytes:
        """Assemble; each body leaves an i32."""
        bodies = {
            '(export "conductor_v1_tick") (param $now i64)': tick,
            '(export "conductor_v1_start")': start,
            '(export "conductor_v1_events") (param $stream i32) (param $at i32) (param $size i32) (param $records i32)': (
                events
            ),
            '(export "conductor_v1_save")': save,
            '(export "conductor_v1_healthy")': healthy,
        }
        functions = "\n".join(f"(func {head} (result i32) {_LOCALS} {body})" for head, body in bodies.items() if body)
        text = f"{functions}\n{other}\n{exports}"
        imports = "\n".join(_import(name) for name in sorted(set(re.findall(r"\(call \$(\w+)", text)) & set(_CALLS)))
        module = bytes(wat2wasm(f'(module {imports} (memory (export "memory") {pages}) {" ".join(self._data)} {text})'))
        return module + (custom_section(NEEDS_SECTION, needs_text(needs)) if needs else b"")


_LOCALS = "(local $i i32) (local $n i32) (local $m i32)"


def _import(name: str) -> str:
    parameters, results, module = _CALLS[name]
    words = " ".join(f"(param {_WORDS[one]})" for one in parameters)
    answers = " ".join(f"(result {_WORDS[one]})" for one in results)
    return f'(import "{module}" "{name}" (func ${name} {words} {answers}))'


def counting(name: str = "ticks_total", *, needs: Needs | None = None, more: str = "", by: float = 1.0) -> bytes:
    """A good neighbour: adds to one counter each tick."""
    wat = Wat()
    declared = wat.text(f'{{"name":"{name}","type":"counter","help":"Ticks."}}')
    one = wat.place(struct.pack("<d", by))
    ids = wat.place(bytes(8))
    start = f"(drop (call $metric_series (call $metric_declare {declared}) (i32.const 0) (i32.const 0) (i32.const 1) (i32.const {ids})))"
    tick = f"(drop (call $metric_write (i32.const 1) (i32.const {ids}) (i32.const {one}) (i32.const 1)))"
    return wat.build(start=f"{start} (i32.const 0)", tick=f"{tick} {more} (i32.const 0)", needs=needs)


def ring_counter(
    needs: Needs, *, buffer: int = 65_536, on_events: str = "", save: str = "", healthy: str = ""
) -> bytes:
    """Counts records of the ring buffer `events`, by what the host says and by its own walk over the headers."""
    wat = Wat()
    names = [
        wat.text(f'{{"name":"{name}","type":"counter","help":"Seen."}}') for name in ("told_total", "walked_total")
    ]
    map_name = wat.text("events")
    ids = wat.place(bytes(8))
    values = wat.place(struct.pack("<dd", 0, 0))
    declare = "".join(
        f"(drop (call $metric_series (call $metric_declare {name}) (i32.const 0) (i32.const 0) (i32.const 1) (i32.const {ids + 4 * i})))"
        for i, name in enumerate(names)
    )
    start = f"{declare} (call $stream_open (call $map_open {map_name}) (i32.const {Wat.HEAP}) (i32.const {buffer}))"
    events = f"""
      (f64.store (i32.const {values}) (f64.convert_i32_u (local.get $records)))
      (block $end (loop $next
        (br_if $end (i32.ge_u (local.get $i) (local.get $size)))
        (local.set $n (i32.load (i32.add (local.get $at) (local.get $i))))
        (local.set $m (i32.add (local.get $m) (i32.eqz (i32.and (local.get $n) (i32.const 0x40000000)))))
        (local.set $i (i32.add (local.get $i)
          (i32.and (i32.add (i32.and (local.get $n) (i32.const 0x3fffffff)) (i32.const 15)) (i32.const -8))))
        (br $next)))
      (f64.store (i32.const {values + 8}) (f64.convert_i32_u (local.get $m)))
      (drop (call $metric_write (i32.const 1) (i32.const {ids}) (i32.const {values}) (i32.const 2)))
      {on_events} (i32.const 0)"""
    return wat.build(start=start, events=events, save=save, healthy=healthy, needs=needs, pages=6)


def trap_once() -> str:
    """For `on_events`: break over the first records that any instance of the program is given."""
    return """(if (i32.lt_s (call $state_read (i32.const 1000) (i32.const 8)) (i32.const 0))
      (then (drop (call $state_write (i32.const 1000) (i32.const 1))) unreachable))"""


def stream_counter(needs: Needs, names: tuple[str, ...], *, buffer: int = 65_536, on_events: str = "") -> bytes:
    """Counts the records of several ring buffers by stream, as the host tells them."""
    wat = Wat()
    family = wat.text('{"name":"streamed_total","type":"counter","help":"Told.","labels":["stream"]}')
    packed = b"".join(struct.pack("<I", len(name)) + name.encode() for name in names)
    rows, ids, value = wat.place(packed), wat.place(bytes(4 * len(names))), wat.place(bytes(8))
    opens = "".join(
        f"(if (i32.ne (call $stream_open (call $map_open {wat.text(name)}) (i32.const {Wat.HEAP + i * buffer}) "
        f"(i32.const {buffer})) (i32.const {i})) (then (return (i32.const 1))))"
        for i, name in enumerate(names)
    )
    start = f"""(drop (call $metric_series (call $metric_declare {family}) (i32.const {rows}) (i32.const {len(packed)})
      (i32.const {len(names)}) (i32.const {ids}))) {opens} (i32.const 0)"""
    events = f"""{on_events} (f64.store (i32.const {value}) (f64.convert_i32_u (local.get $records)))
      (drop (call $metric_write (i32.const 1) (i32.add (i32.const {ids}) (i32.shl (local.get $stream) (i32.const 2)))
        (i32.const {value}) (i32.const 1))) (i32.const 0)"""
    return wat.build(start=start, events=events, needs=needs, pages=2 + len(names) * buffer // 65_536)
