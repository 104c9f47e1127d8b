"""A client of the first implementation, in bytes: its Load, Get, List and Unload work on a real agent's real programs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from grpclib.const import Status

from tests.api.raw import Answer, ask, framed, record, text
from tests.e2e.node import programs_of

if TYPE_CHECKING:
    from tests.e2e.node import Node

pytestmark = [pytest.mark.kernel, pytest.mark.slow, pytest.mark.timeout(120)]
BUILTIN, RUNNING = b"\x18\x00", b"\x18\x02"
NAME = text(2, "service_map")


def send(node: Node, method: str, *fields: bytes) -> Answer:
    answer = asyncio.run(ask(node.socket, method, framed(b"".join(fields))))
    assert answer.headers[":status"] == "200"
    return answer


def pair(number: int, key: str, value: str) -> bytes:
    """One entry of a map<string, string>."""
    return record(number, text(1, key) + text(2, value))


def varint(number: int) -> bytes:
    digits = []
    while number > 0x7F:
        digits.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*digits, number])


def inside(answer: Answer, number: int) -> bytes:
    """The one delimited field of an answer, whatever its length."""
    assert answer.body[0] == number << 3 | 2
    size, place = 0, 1
    while answer.body[place] > 0x7F:
        size |= (answer.body[place] & 0x7F) << 7 * (place - 1)
        place += 1
    size |= answer.body[place] << 7 * (place - 1)
    assert len(answer.body) == place + 1 + size
    return answer.body[place + 1 :]


def test_load_get_list_unload_of_a_builtin_with_its_own_kernel_half(clean: Node) -> None:
    loaded = send(clean, "Load", NAME, BUILTIN, pair(5, "interval", "2"))
    assert loaded.status is Status.OK
    info = inside(loaded, 1)
    assert info.startswith(text(1, "service_map") + RUNNING)
    assert pair(6, "interval", "2") in info
    assert clean.json("get", "service_map")["config"] == {"interval": 2}
    assert programs_of(clean)
    for name in ("pairs", "losses"):  # ebpf_maps=5: map<map name, program id>
        (grant,) = (grant for grant in clean.json("get", "service_map")["maps"] if grant["name"] == name)
        assert text(1, name) + b"\x10" + varint(grant["programId"]) in info
    assert inside(send(clean, "Get", text(1, "service_map")), 1).startswith(text(1, "service_map") + RUNNING)
    listed = send(clean, "List", BUILTIN.replace(b"\x18", b"\x08"), pair(3, "interval", "2"))
    assert text(1, "service_map") + RUNNING in inside(listed, 3)
    assert send(clean, "List", pair(3, "interval", "3")).body == b""
    gone = send(clean, "Unload", text(1, "service_map"))
    assert (gone.status, gone.body) == (Status.OK, b"")
    assert programs_of(clean) == []


def test_a_grant_that_does_not_suffice_is_refused_with_the_one_that_would(clean: Node) -> None:
    """Their map<map, kernel program> cannot say how a map may be used: it stands for reading."""
    answer = send(clean, "Load", NAME, pair(4, "pairs", "sock_state"), pair(4, "losses", "sock_state"))
    assert answer.status is Status.INVALID_ARGUMENT
    assert "map pairs is granted Read and needed ReadWrite: --map pairs=sock_state:rw" in answer.message
    assert clean.is_empty()


def test_a_second_load_is_answered_and_another_spec_is_refused(clean: Node) -> None:
    for _ in range(2):
        assert send(clean, "Load", NAME, BUILTIN, pair(5, "interval", "2")).status is Status.OK
    other = send(clean, "Load", NAME, BUILTIN, pair(5, "interval", "3"))
    assert (other.status, "Update" in other.message) == (Status.ALREADY_EXISTS, True)


def test_what_their_agent_could_not_do_is_refused_with_a_sentence(clean: Node, compiled: Callable[[str], Path]) -> None:
    image = record(1, text(1, "reg.example/x:1") + b"\x10\x01")
    assert send(clean, "PullBytecode", image).status is Status.UNIMPLEMENTED
    kernel_object = text(2, str(compiled("counters")))
    wasm = send(clean, "Load", record(1, kernel_object), text(2, "w"), b"\x18\x01")
    assert wasm.status in (Status.INVALID_ARGUMENT, Status.UNIMPLEMENTED), wasm.message
    assert wasm.message
    assert send(clean, "Load", NAME, pair(5, "interval", "soon")).status is Status.INVALID_ARGUMENT
    assert clean.is_empty()
