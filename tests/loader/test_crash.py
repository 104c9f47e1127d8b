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


def attached(empty: Daemon, compiled: Compiled) -> tuple[int, int, int]:
    """Load two programs, attach the first; answer both ids and the link."""

    async def load(client: Client) -> tuple[int, int, int]:
        loaded = await client.load(compiled("counters"), *BOTH, metadata={"owner": "exp"})
        first, second = (one.kernel_info.id for one in loaded)
        return first, second, await client.tracepoint(first)

    return empty.ask(load)


def runs(empty: Daemon, id_: int) -> int:
    return empty.ask(lambda client: client.runs(id_))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_everything_is_found_again_and_never_stopped(empty: Daemon, compiled: Compiled, number: signal.Signals) -> None:
    first, _, link = attached(empty, compiled)
    pins_before, before = empty.pins(), empty.ask(lambda client: client.list())
    code = empty.end(number)
    assert code == (-signal.SIGKILL if number is signal.SIGKILL else 0)
    assert empty.socket.exists() == (number is signal.SIGKILL)
    with pins.open_program(empty.bpffs / f"programs/{first}") as program:
        counted = program_info(program.fileno()).run_cnt
    empty.start()
    assert empty.pins() == pins_before
    assert empty.ask(lambda client: client.list()) == before
    assert empty.ask(lambda client: client.info(first)).links == [link]
    assert runs(empty, first) > counted > 0


def test_pins_without_a_record_are_gone(empty: Daemon, compiled: Compiled) -> None:
    attached(empty, compiled)
    empty.end(signal.SIGKILL)
    for record in empty.records:
        record.unlink()
    empty.start()
    assert empty.pins() == set()
    assert empty.ask(lambda client: client.list()) == []


def test_records_without_pins_are_gone(empty: Daemon, compiled: Compiled) -> None:
    first, second, link = attached(empty, compiled)
    empty.end(signal.SIGKILL)
    (empty.bpffs / f"links/{link}").unlink()
    (empty.bpffs / f"programs/{second}").unlink()
    empty.start()
    (left,) = empty.ask(lambda client: client.list())
    assert left.kernel_info.id == first
    assert empty.ask(lambda client: client.info(first)).links == []
    assert empty.pins() == {f"programs/{first}", f"maps/{first}", f"maps/{first}/by_pid", f"maps/{first}/total"}


def test_records_of_another_boot_are_gone(empty: Daemon, compiled: Compiled) -> None:
    attached(empty, compiled)
    empty.end(signal.SIGKILL)
    (record,) = empty.records
    record.write_text(record.read_text().replace(json.loads(record.read_text())["boot_id"], "another"))
    empty.start()
    assert (empty.pins(), empty.records) == (set(), [])


BAD = [b"", b"{", b"[]", b"null", b'{"version": 2}', b"\xff" * 100, b"[" * 100_000]


def test_bad_records_are_kept_aside_with_a_warning(empty: Daemon, compiled: Compiled) -> None:
    first, *_ = attached(empty, compiled)
    empty.end(signal.SIGKILL)
    names = [f"{900_000 + number}.json" for number in range(len(BAD))]
    for name, content in zip(names, BAD, strict=True):
        (empty.state / name).write_bytes(content)
    (empty.state / "900100.json").write_bytes(empty.records[0].read_bytes())
    empty.start()
    assert [record.name for record in empty.records] == [f"{first}.json"]
    for name, content in zip(names, BAD, strict=True):
        assert (empty.state / f"{name}.bad").read_bytes() == content
        assert f"{empty.state / name} is kept aside" in empty.log
    assert (empty.state / "900100.json.bad").exists()


def test_a_half_written_record_is_none(empty: Daemon, compiled: Compiled) -> None:
    first, *_ = attached(empty, compiled)
    empty.end(signal.SIGKILL)
    (empty.state / "77.json.new").write_text('{"version": 1, "key":')
    empty.start()
    assert empty.ask(lambda client: client.list())[0].kernel_info.id == first
    assert not (empty.state / "77.json.new").exists()


def test_a_program_that_lost_its_pin_is_hidden_and_can_be_unloaded(empty: Daemon, compiled: Compiled) -> None:
    first, second, _ = attached(empty, compiled)
    (empty.bpffs / f"programs/{first}").unlink()
    listed = empty.ask(lambda client: client.list())
    assert [result.kernel_info.id for result in listed] == [second]
    with pytest.raises(Exception, match="lost its pin"):
        empty.ask(lambda client: client.get(first))
    empty.ask(lambda client: client.unload(first))
