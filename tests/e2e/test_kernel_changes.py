"""A kernel program that changes while it runs: links alone, globals, bytecode; who reads its maps reads on."""

from __future__ import annotations

import base64
import shutil
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from conductor.bpf.maps import open_map
from conductor.builtin import object_path
from conductor.builtin.service_map import ServiceMap
from conductor.model.grants import Access
from conductor.model.kernel import TracepointLink
from tests.e2e.node import links_of, programs_of, told

if TYPE_CHECKING:
    from tests.e2e.node import Node

pytestmark = [pytest.mark.kernel, pytest.mark.slow]
Compiled = Callable[[str], Path]
ENTER, EXIT = "raw_syscalls/sys_enter", "raw_syscalls/sys_exit"
PROBES = {
    function.name: tuple(link.name for link in function.links if isinstance(link, TracepointLink))
    for function in ServiceMap.kernel_half
}


def kernel_program(
    name: str, path: Path, functions: Mapping[str, tuple[str, ...]], variables: Mapping[str, bytes] | None = None
) -> str:
    """A manifest: tracepoints by function."""
    programs = [
        {"name": function, "type": "TracePoint", "tracepoint": {"links": [{"name": event} for event in events]}}
        for function, events in functions.items()
    ]
    data = {variable: base64.b64encode(value).decode() for variable, value in (variables or {}).items()}
    spec = {"bytecode": {"path": str(path)}, "programs": programs, "globalData": data}
    return document("KernelProgram", name, spec)


def document(kind: str, name: str, spec: Mapping[str, Any]) -> str:
    return yaml.safe_dump(
        {"apiVersion": "ebpfconductor.io/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}
    )


def apply(node: Node, text: str, name: str) -> Any:
    """Apply one kernel program, wait until that generation runs, answer how it stands."""
    before = {item["name"]: item["generation"] for item in node.json("kernel", "list")["items"]}.get(name, 0)
    node.cli("apply", "-f", "-", stdin=text)

    def settled() -> Any:
        shown = node.json("kernel", "get", name)
        return shown if shown["generation"] > before and shown["state"] == "Running" else None

    return node.wait_for(settled, "applied")


def ids(shown: Any) -> set[int]:
    return {function["id"] for function in shown["functions"]}


def links(shown: Any) -> dict[str, int]:
    return {link["attach"]: link["id"] for function in shown["functions"] for link in function["links"]}


def pinned(node: Node, shown: Any, name: str) -> tuple[int, int]:
    """Id of a map and the sum of what it counts."""
    pin = node.root / "run/bpf/maps" / str(shown["functions"][0]["id"]) / name
    with open_map(pin, Access.READ) as handle:
        values = bytes(handle.entries().values)
        return int(handle.info.id), sum(calls for calls, _ in struct.iter_unpack("QQ", values))


@pytest.fixture
def gone(clean: Node) -> Iterator[Callable[[str], str]]:
    """Remember manifests, to be deleted in the end."""
    applied: list[str] = []

    def remember(text: str) -> str:
        applied.append(text)
        return text

    yield remember
    for text in reversed(applied):
        clean.cli("delete", "-f", "-", stdin=text, ok=False)
    clean.wait_for(lambda: not programs_of(clean), "unloaded")


def test_links_come_and_go_without_a_reload(clean: Node, compiled: Compiled, gone: Callable[[str], str]) -> None:
    def with_links(*events: str) -> str:
        return gone(kernel_program("syscalls", compiled("counters"), {"on_enter": events}))

    first = apply(clean, with_links(ENTER), "syscalls")
    both = apply(clean, with_links(ENTER, EXIT), "syscalls")
    other = apply(clean, with_links(EXIT), "syscalls")
    assert ids(first) == ids(both) == ids(other)
    assert set(links(both)) == {ENTER, EXIT}
    assert links(both)[ENTER] == links(first)[ENTER]
    assert links(other) == {EXIT: links(both)[EXIT]}
    assert len(links_of(clean)) == 1


def test_globals_change_and_what_was_counted_stays(clean: Node, compiled: Compiled, gone: Callable[[str], str]) -> None:
    def for_pid(pid: int) -> str:
        functions = {"on_enter": (ENTER,), "on_exit": (EXIT,)}
        return gone(kernel_program("syscalls", compiled("counters"), functions, {"only_pid": struct.pack("I", pid)}))

    first = apply(clean, for_pid(0), "syscalls")
    clean.wait_for(lambda: pinned(clean, first, "by_pid")[1] > 1000, "counted")
    map_id, count = pinned(clean, first, "by_pid")
    second = apply(clean, for_pid(1), "syscalls")
    assert not ids(first) & ids(second)
    assert {program["id"] for program in programs_of(clean)} == ids(second)
    assert (second["reason"], second["message"]) == ("", "")
    now_id, now = pinned(clean, second, "by_pid")
    assert now_id == map_id
    assert now >= count


def test_map_of_another_layout_begins_anew_and_says_so(
    clean: Node, compiled: Compiled, gone: Callable[[str], str]
) -> None:
    apply(clean, gone(kernel_program("syscalls", compiled("counters"), {"on_enter": (ENTER,)})), "syscalls")
    shown = apply(clean, gone(kernel_program("syscalls", compiled("shared"), {"first": (ENTER,)})), "syscalls")
    assert shown["reason"] == "MapsRenewed"
    assert "map by_pid has another layout now" in shown["message"]
    assert "map by_pid has another layout now" in clean.cli("kernel", "log", "syscalls").stdout


def test_reader_reads_on_while_its_kernel_program_is_renewed(clean: Node, gone: Callable[[str], str]) -> None:
    def version(number: int) -> str:
        copy = clean.root / f"flows-{number}.o"
        shutil.copy(object_path("service_map"), copy)
        with copy.open("ab") as file:
            file.write(bytes(number))
        copy.chmod(0o644)
        return gone(kernel_program("flows", copy, PROBES))

    def carried(port: str) -> float:
        return told(clean.series("?program=reader"), "service_map_sent_bytes_total", server_port=port, role="client")

    apply(clean, version(0), "flows")
    access = {"pairs": "ReadWrite", "losses": "Read"}
    grants = [{"name": m, "kernelProgram": "flows", "map": m, "access": a} for m, a in access.items()]
    config = {"interval": 0.3, "loopback": True}
    reader = {"source": {"builtin": "service_map"}, "maps": grants, "config": config}
    clean.cli("apply", "-f", "-", stdin=document("UserProgram", "reader", reader))
    clean.wait_for(lambda: clean.running("reader"), "running")
    with stream() as (port, send):
        send(100_000)
        clean.wait_for(lambda: carried(port) == 100_000, "told")
        first = clean.json("kernel", "get", "flows")
        second = apply(clean, version(1), "flows")
        assert not ids(first) & ids(second)
        maps = {function["name"]: function["mapIds"] for function in second["functions"]}
        assert maps == {function["name"]: function["mapIds"] for function in first["functions"]}
        clean.wait_for(lambda: {m["programId"] for m in clean.json("get", "reader")["maps"]} <= ids(second), "moved")
        send(23_000)
        clean.wait_for(lambda: carried(port) == 123_000, "told on")
        assert clean.json("get", "reader")["restarts"] == 0
        assert carried(port) == 123_000


@contextmanager
def stream() -> Iterator[tuple[str, Callable[[int], None]]]:
    """One connection over loopback that stays; the server's port and how to send on it."""
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as client,
        server.accept()[0] as connection,
    ):

        def send(size: int) -> None:
            thread = threading.Thread(target=_take, args=(connection, size))
            thread.start()
            client.sendall(bytes(size))
            thread.join(10)

        yield str(server.getsockname()[1]), send


def _take(connection: socket.socket, size: int) -> None:
    while size:
        size -= len(connection.recv(min(size, 1 << 16)))


def test_verifiers_whole_log_is_shown(clean: Node, compiled: Compiled, gone: Callable[[str], str]) -> None:
    text = gone(kernel_program("refused", compiled("rejected"), {"bad": (ENTER,)}))
    clean.cli("apply", "-f", "-", stdin=text)
    clean.wait_for(lambda: clean.json("kernel", "get", "refused")["state"] == "Failed", "failed")
    shown = clean.json("kernel", "get", "refused")
    lines = clean.cli("kernel", "log", "refused").stdout.splitlines()
    (telling,) = [line for line in lines if line.startswith("R1 ") and "invalid mem access" in line]
    assert telling in shown["message"]
    assert "return *(int *)random; @ rejected.bpf.c:" in shown["message"]
    assert "conductor kernel log" in shown["message"]
    assert any(line.startswith("0: ") or " R1=" in line for line in lines)
    assert any(line.startswith("processed ") for line in lines)


def test_update_that_the_verifier_refuses_leaves_the_version_before(
    clean: Node, compiled: Compiled, gone: Callable[[str], str]
) -> None:
    good = apply(clean, gone(kernel_program("syscalls", compiled("counters"), {"on_enter": (ENTER,)})), "syscalls")
    clean.cli("apply", "-f", "-", stdin=kernel_program("syscalls", compiled("rejected"), {"bad": (ENTER,)}))
    clean.wait_for(lambda: clean.json("kernel", "get", "syscalls")["state"] == "Failed", "failed")
    shown = clean.json("kernel", "get", "syscalls")
    assert shown["message"].endswith("the version before goes on")
    assert {program["id"] for program in programs_of(clean)} == ids(shown) == ids(good)
    assert len(links_of(clean)) == 1
