"""kill -9 and what is found again."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from conductor.bpf import pins
from conductor.bpf.info import program_info
from tests.loader.running import Client, Daemon

pytestmark = pytest.mark.kernel
Compiled = Callable[[str], Path]
BOTH = (("on_enter", 2), ("on_exit", 2))


def attached(daemon: Daemon, compiled: Compiled) -> tuple[int, int, int]:
    """Load two programs, attach the first; answer both ids and the link."""

    async def load(client: Client) -> tuple[int, int, int]:
        loaded = await client.load(compiled("counters"), *BOTH, metadata={"owner": "exp"})
        first, second = (one.kernel_info.id for one in loaded)
        return first, second, await client.tracepoint(first)

    return daemon.ask(load)


def runs(daemon: Daemon, id_: int) -> int:
    return daemon.ask(lambda client: client.runs(id_))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_everything_is_found_again_and_never_stopped(
    daemon: Daemon, compiled: Compiled, number: signal.Signals
) -> None:
    first, second, link = attached(daemon, compiled)
    pins_before, before = daemon.pins(), daemon.ask(lambda client: client.list())
    code = daemon.end(number)
    assert code == (-signal.SIGKILL if number is signal.SIGKILL else 0)
    assert daemon.socket.exists() == (number is signal.SIGKILL)
    with pins.open_program(daemon.bpffs / f"programs/{first}") as program:
        counted = program_info(program.fileno()).run_cnt
    daemon.start()
    assert daemon.pins() == pins_before
    assert daemon.ask(lambda client: client.list()) == before
    assert daemon.ask(lambda client: client.info(first)).links == [link]
    assert runs(daemon, first) > counted > 0
    daemon.ask(lambda client: client.unload(first, second))
    assert (daemon.pins(), daemon.records) == (set(), [])


def test_pins_without_a_record_are_gone(daemon: Daemon, compiled: Compiled) -> None:
    attached(daemon, compiled)
    daemon.end(signal.SIGKILL)
    for record in daemon.records:
        record.unlink()
    daemon.start()
    assert daemon.pins() == set()
    assert daemon.ask(lambda client: client.list()) == []


def test_records_without_pins_are_gone(daemon: Daemon, compiled: Compiled) -> None:
    first, second, link = attached(daemon, compiled)
    daemon.end(signal.SIGKILL)
    (daemon.bpffs / f"links/{link}").unlink()
    (daemon.bpffs / f"programs/{second}").unlink()
    daemon.start()
    (left,) = daemon.ask(lambda client: client.list())
    assert left.kernel_info.id == first
    assert daemon.ask(lambda client: client.info(first)).links == []
    assert daemon.pins() == {f"programs/{first}", f"maps/{first}", f"maps/{first}/by_pid", f"maps/{first}/total"}


def test_records_of_another_boot_are_gone(daemon: Daemon, compiled: Compiled) -> None:
    attached(daemon, compiled)
    daemon.end(signal.SIGKILL)
    (record,) = daemon.records
    record.write_text(record.read_text().replace(json.loads(record.read_text())["boot_id"], "another"))
    daemon.start()
    assert (daemon.pins(), daemon.records) == (set(), [])


BAD = [b"", b"{", b"[]", b"null", b'{"version": 2}', b"\xff" * 100, b"[" * 100_000]


def test_bad_records_are_kept_aside_with_a_warning(daemon: Daemon, compiled: Compiled) -> None:
    first, *_ = attached(daemon, compiled)
    daemon.end(signal.SIGKILL)
    names = [f"{900_000 + number}.json" for number in range(len(BAD))]
    for name, content in zip(names, BAD, strict=True):
        (daemon.state / name).write_bytes(content)
    (daemon.state / "900100.json").write_bytes(daemon.records[0].read_bytes())
    daemon.start()
    assert [record.name for record in daemon.records] == [f"{first}.json"]
    for name, content in zip(names, BAD, strict=True):
        assert (daemon.state / f"{name}.bad").read_bytes() == content
        assert f"{daemon.state / name} is kept aside" in daemon.log
    assert (daemon.state / "900100.json.bad").exists()


def test_a_half_written_record_is_none(daemon: Daemon, compiled: Compiled) -> None:
    first, *_ = attached(daemon, compiled)
    daemon.end(signal.SIGKILL)
    (daemon.state / "77.json.new").write_text('{"version": 1, "key":')
    daemon.start()
    assert daemon.ask(lambda client: client.list())[0].kernel_info.id == first
    assert not (daemon.state / "77.json.new").exists()


def test_a_program_that_lost_its_pin_is_hidden_and_can_be_unloaded(empty: Daemon, compiled: Compiled) -> None:
    first, second, _ = attached(empty, compiled)
    (empty.bpffs / f"programs/{first}").unlink()
    listed = empty.ask(lambda client: client.list())
    assert [result.kernel_info.id for result in listed] == [second]
    with pytest.raises(Exception, match="lost its pin"):
        empty.ask(lambda client: client.get(first))
    empty.ask(lambda client: client.unload(first))
