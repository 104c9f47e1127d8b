"""The whole road: kernel, map, series, page; and what stays when parts go."""

from __future__ import annotations

import socket
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e.node import links_of, pins_of, programs_of, told

if TYPE_CHECKING:
    from tests.e2e.node import Node

pytestmark = [pytest.mark.kernel, pytest.mark.slow]
CAPABILITIES = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")
SENT, RECEIVED = "service_map_sent_bytes_total", "service_map_received_bytes_total"


def transfer(size: int) -> str:
    """Send `size` bytes over loopback; answers the server's port."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = int(server.getsockname()[1])

        def sink() -> None:
            connection, _ = server.accept()
            with connection:
                while connection.recv(1 << 16):
                    pass

        thread = threading.Thread(target=sink)
        thread.start()
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(bytes(size))
        thread.join(10)
    return str(port)


def load_service_map(node: Node) -> None:
    node.cli("load", "builtin", "service_map", "--config", "interval=0.5", "--config", "loopback=true")


def test_bytes_sent_are_bytes_told(clean: Node) -> None:
    load_service_map(clean)
    clean.wait_for(lambda: clean.running("service_map"), "running")
    port = transfer(1_234_567)

    def exact() -> bool:
        series = clean.series("?program=service_map")
        sent = told(series, SENT, server_port=port, role="client")
        return sent == told(series, RECEIVED, server_port=port, role="server") == 1_234_567

    clean.wait_for(exact, "exact")


def test_agent_has_no_rights_while_it_reads_maps(clean: Node) -> None:
    load_service_map(clean)
    clean.wait_for(lambda: clean.running("service_map"), "running")
    tasks = list(Path(f"/proc/{clean.pid('agent')}/task").iterdir())
    assert tasks
    for task in tasks:
        status = dict(line.split(":\t", 1) for line in (task / "status").read_text().splitlines() if ":\t" in line)
        assert {int(status[name], 16) for name in CAPABILITIES} == {0}
        assert status["NoNewPrivs"] == "1"
        assert status["Uid"].split() == ["65532"] * 4


def test_agent_that_would_stay_root_is_refused(node: Node) -> None:
    done = node.cli("agent", "--user", "0", *node.flags()[2:], ok=False)
    assert done.returncode == 2
    assert "uid 0" in done.stderr


def test_killed_agent_comes_back_with_its_programs_and_numbers(node: Node) -> None:
    node.start("--kernel", "embedded")
    load_service_map(node)
    node.wait_for(lambda: node.running("service_map"), "running")
    port = transfer(50_000)
    node.wait_for(lambda: told(node.series(), SENT, server_port=port, role="client") == 50_000, "told before the kill")
    before = {program["id"] for program in programs_of(node)}
    node.kill("agent")
    node.wait_for(lambda: node.running("service_map"), "running again")
    node.wait_for(lambda: told(node.series(), SENT, server_port=port, role="client") == 50_000, "told after the kill")
    assert {program["id"] for program in programs_of(node)} == before


def test_stop_leaves_nothing_behind_and_keep_leaves_kernel_programs(node: Node) -> None:
    node.start("--kernel", "embedded", "--keep")
    load_service_map(node)
    node.wait_for(lambda: node.running("service_map"), "running")
    kept = {program["id"] for program in programs_of(node)}
    assert node.stop() == 0
    assert {program["id"] for program in programs_of(node)} == kept
    node.start("--kernel", "embedded")
    node.wait_for(lambda: node.running("service_map"), "running again")
    assert {program["id"] for program in programs_of(node)} == kept
    assert node.stop() == 0
    assert not programs_of(node)


def test_unload_removes_both_halves(clean: Node) -> None:
    load_service_map(clean)
    clean.wait_for(lambda: clean.running("service_map"), "running")
    assert programs_of(clean)
    assert links_of(clean)
    clean.cli("unload", "service_map")
    assert not programs_of(clean)
    assert not pins_of(clean)
    assert clean.json("list") == {"items": []}


def test_second_agent_on_the_same_socket_is_refused(node: Node) -> None:
    node.start("--kernel", "none")
    elsewhere = ["--state-dir", str(node.root / "other"), "--http-address", "127.0.0.1:0"]
    done = node.cli("agent", "--own-view", "--kernel", "none", *node.flags()[2:], *elsewhere, ok=False)
    assert done.returncode == 1
    assert "agent.sock" in done.stderr


def test_program_without_a_map_needs_no_kernel_road(node: Node) -> None:
    node.start("--kernel", "none")
    node.cli("load", "builtin", "host_pressure", "--config", "interval=0.5")
    node.wait_for(lambda: node.running("host_pressure"), "running")
    node.wait_for(lambda: any(name.startswith("host_pressure_") for name, _ in node.series()), "on the page")
    node.cli("load", "builtin", "service_map")
    shown = node.json("get", "service_map")
    assert shown["state"] == "Waiting"
    assert "--kernel" in shown["message"]
