"""A client of the first implementation, in bytes: its Load, Get, List and Unload work on a real agent's real programs."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml
from grpclib.const import Status

from conductor.builtin.service_map import ServiceMap
from conductor.model.grants import Access, MapNeed, MapType
from conductor.model.kernel import TracepointLink
from conductor.model.manifest import API_VERSION
from conductor.wasm.needs import Needs
from tests.api.raw import Answer, ask, framed, record, text
from tests.e2e.node import programs_of
from tests.wasm.guests import ring_counter

if TYPE_CHECKING:
    from tests.e2e.node import Node

pytestmark = [pytest.mark.kernel, pytest.mark.slow, pytest.mark.timeout(120)]
BUILTIN, WASM, RUNNING = b"\x18\x00", b"\x18\x01", b"\x18\x02"
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


def kernel_program(name: str, bytecode: Mapping[str, str], functions: Mapping[str, str]) -> str:
    """A manifest: one tracepoint by function."""
    programs = [
        {"name": function, "type": "TracePoint", "tracepoint": {"links": [{"name": event}]}}
        for function, event in functions.items()
    ]
    spec = {"bytecode": dict(bytecode), "programs": programs}
    return yaml.safe_dump(
        {"apiVersion": API_VERSION, "kind": "KernelProgram", "metadata": {"name": name}, "spec": spec}
    )


def applied(node: Node, text_: str, name: str) -> None:
    node.cli("apply", "-f", "-", stdin=text_)
    node.wait_for(lambda: node.json("kernel", "get", name)["state"] == "Running", f"{name} runs")


def access_of(node: Node, name: str) -> dict[str, str]:
    return {grant["name"]: grant["access"] for grant in node.json("get", name)["maps"]}


def test_their_grants_reach_as_far_as_the_programs_own_needs(clean: Node) -> None:
    """Their map<map, kernel program> cannot say how a map may be used: `pairs` is written, `losses` is read."""
    probes = {
        function.name: link.name
        for function in ServiceMap.kernel_half
        for link in function.links
        if isinstance(link, TracepointLink)
    }
    applied(clean, kernel_program("socks", {"builtin": "service_map"}, probes), "socks")
    for _ in range(2):  # the same words again are the same wish
        answer = send(clean, "Load", NAME, pair(4, "pairs", "socks"), pair(4, "losses", "sock_state"))
        assert answer.status is Status.OK, answer.message
    clean.wait_for(lambda: clean.json("get", "service_map")["state"] == "Running", "it runs")
    assert access_of(clean, "service_map") == {"pairs": "ReadWrite", "losses": "Read"}
    send(clean, "Unload", NAME)
    clean.ask(lambda agent: agent.delete(kernel_program("socks", {"builtin": "service_map"}, probes)))


def test_their_grant_of_a_ring_consumes(clean: Node, compiled: Callable[[str], Path]) -> None:
    manifest = kernel_program("calls", {"path": str(compiled("events"))}, {"on_enter": "raw_syscalls/sys_enter"})
    applied(clean, manifest, "calls")
    need = MapNeed(name="events", type=MapType.RINGBUF, access=Access.CONSUME)
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        module = Path(folder) / "rings.wasm"
        module.write_bytes(ring_counter(Needs(interval=0.2, maps=(need,))))
        loaded = send(
            clean, "Load", record(1, text(2, str(module))), text(2, "rings"), WASM, pair(4, "events", "calls")
        )
        assert loaded.status is Status.OK, loaded.message
        assert access_of(clean, "rings") == {"events": "Consume"}
        clean.wait_for(lambda: clean.json("get", "rings")["state"] == "Running", "it runs")
    send(clean, "Unload", text(1, "rings"))
    clean.ask(lambda agent: agent.delete(manifest))


def test_a_kernel_program_that_is_not_there_is_waited_for(clean: Node) -> None:
    answer = send(clean, "Load", NAME, pair(4, "pairs", "sock_state"), pair(4, "losses", "sock_state"))
    assert answer.status is Status.OK
    shown = clean.json("get", "service_map")
    assert (shown["state"], shown["reason"]) == ("Waiting", "MapMissing")
    assert [(m["name"], m["access"]) for m in shown["maps"]] == [("pairs", "ReadWrite"), ("losses", "Read")]


def test_a_second_load_is_answered_and_another_spec_is_refused(clean: Node) -> None:
    for _ in range(2):
        assert send(clean, "Load", NAME, BUILTIN, pair(5, "interval", "2")).status is Status.OK
    other = send(clean, "Load", NAME, BUILTIN, pair(5, "interval", "3"))
    assert (other.status, "Update" in other.message) == (Status.ALREADY_EXISTS, True)


def test_what_cannot_be_done_is_refused_with_a_sentence(clean: Node, compiled: Callable[[str], Path]) -> None:
    image = record(1, text(1, "127.0.0.1:1/x:1") + b"\x10\x01")
    pulled = send(clean, "PullBytecode", image)
    assert (pulled.status, "127.0.0.1:1/x:1" in pulled.message) == (Status.UNAVAILABLE, True), pulled.message
    kernel_object = text(2, str(compiled("counters")))
    wasm = send(clean, "Load", record(1, kernel_object), text(2, "w"), WASM)
    assert wasm.status in (Status.INVALID_ARGUMENT, Status.UNIMPLEMENTED), wasm.message
    assert wasm.message
    assert send(clean, "Load", NAME, pair(5, "interval", "soon")).status is Status.INVALID_ARGUMENT
    assert clean.is_empty()
