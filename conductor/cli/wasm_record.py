"""`conductor wasm record`: what a kernel half tells, kept in a file for tests."""

from __future__ import annotations

import ctypes
import select
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

import click

from conductor.bpf.maps import BpfMap
from conductor.bpf.ring import Ring
from conductor.cli.output import note, write
from conductor.cli.session import seconds
from conductor.cli.wasm_kernel import attached, manifest_beside
from conductor.cli.wasm_recording import Batch, Snapshot, write_head, write_moment
from conductor.errors import StateUnwritable
from conductor.model.grants import MapType

__all__ = ["record"]

_BUSY, _DISCARDED, _LENGTH = 1 << 31, 1 << 30, (1 << 30) - 1
_SKIPPED = (MapType.QUEUE, MapType.STACK, MapType.PERF_EVENT_ARRAY, MapType.STACK_TRACE, MapType.OTHER)


@click.command(
    epilog="\b\nExamples:\n  sudo conductor wasm record --kernel counter.bpf.o --to recording.jsonl --for 5s"
)
@click.option(
    "--kernel", metavar="OBJ", type=click.Path(path_type=Path), required=True, help="The kernel half to listen to."
)
@click.option("--to", "target", metavar="FILE", type=click.Path(path_type=Path), required=True, help="Where it goes.")
@click.option("--for", "duration", metavar="5s", callback=seconds, default="5s", show_default=True, help="How long.")
@click.option("--every", metavar="1s", callback=seconds, default="1s", show_default=True, help="Between looks at maps.")
@click.option("-o", "--output", "form", type=click.Choice(["table", "json"]), default="table", help="Form of output.")
def record(kernel: Path, *, target: Path, duration: float, every: float, form: Any) -> None:
    """Load and attach a kernel half, and write the records of its ring buffers and the content of its maps to FILE."""
    with ExitStack() as stack:
        maps = stack.enter_context(attached(kernel, manifest_beside(kernel)))
        try:
            file = stack.enter_context(tempfile.NamedTemporaryFile("w", dir=target.resolve().parent, delete=False))
            stack.callback(Path(file.name).unlink, missing_ok=True)
            recorder = _Recorder(maps=maps, file=file, stack=stack)
            recorder.work(duration=duration, every=every)
            file.flush()
            Path(file.name).chmod(0o644)
            Path(file.name).replace(target)
        except OSError as exc:
            raise StateUnwritable(f"{target}: {exc.strerror}") from exc
    told = {"file": str(target), "records": recorder.records, "snapshots": recorder.snapshots}
    if form == "json":
        write({"metrics": [], "logs": [], **told}, form)
    else:
        click.echo(f"{target}  {recorder.records} records, {recorder.snapshots} looks at maps that had changed")


class _Recorder:
    """Take what comes until the time is over."""

    def __init__(self, *, maps: Mapping[str, BpfMap], file: IO[str], stack: ExitStack) -> None:
        self._file = file
        self._rings: dict[str, Ring] = {}
        self._maps: dict[str, BpfMap] = {}
        self._last: dict[str, tuple[tuple[bytes, bytes], ...]] = {}
        self._poll = stack.enter_context(select.epoll())
        self._begin = time.monotonic()
        self.records = self.snapshots = 0
        for name, opened in maps.items():
            if opened.info.type is MapType.RINGBUF:
                self._rings[name] = stack.enter_context(opened.ring())
                self._poll.register(self._rings[name].fileno(), select.EPOLLIN)
            elif opened.info.type in _SKIPPED:
                note(f"conductor: map {name} is a {opened.info.type.value}, which is not recorded")
            else:
                self._maps[name] = opened
        write_head(file, [maps[name].info for name in (*self._rings, *self._maps)])

    def work(self, *, duration: float, every: float) -> None:
        """Record; the maps are looked at once more at the end."""
        end, look = self._begin + duration, self._begin
        try:
            while (now := time.monotonic()) < end:
                if now >= look:
                    self._look()
                    look += every
                self._poll.poll(max(0.0, min(end, look) - time.monotonic()))
                self._drain()
        except KeyboardInterrupt:
            note("conductor: ended early, what was recorded is kept")
        self._drain()
        self._look()
        write_moment(self._file, time.monotonic() - self._begin)

    def _drain(self) -> None:
        for name, ring in self._rings.items():
            if records := tuple(_taken(ring)):
                self.records += len(records)
                write_moment(self._file, Batch(time.monotonic() - self._begin, name, records))

    def _look(self) -> None:
        for name, opened in self._maps.items():
            found = tuple(_entries(opened))
            if found != self._last.get(name, ()):
                self._last[name] = found
                self.snapshots += 1
                write_moment(self._file, Snapshot(time.monotonic() - self._begin, name, found))


def _taken(ring: Ring) -> Iterator[bytes]:
    """Take the records that are committed."""
    consumer, producer = ring.positions()
    while consumer < producer:
        at = ring.data + consumer % ring.size
        header = ctypes.c_uint32.from_address(at).value
        if header & _BUSY:
            break
        length = header & _LENGTH
        if not header & _DISCARDED:
            yield ctypes.string_at(at + 8, length)
        consumer += (length + 15) // 8 * 8
        ring.commit(consumer)


def _entries(opened: BpfMap) -> Iterator[tuple[bytes, bytes]]:
    """Entries of a map; of arrays those that are not 0."""
    found, info = opened.entries(), opened.info
    is_array = info.type in (MapType.ARRAY, MapType.PERCPU_ARRAY)
    for i in range(found.count):
        value = bytes(found.values[i * info.stride : (i + 1) * info.stride])
        if any(value) or not is_array:
            yield bytes(found.keys[i * info.key_size : (i + 1) * info.key_size]), value
