"""The loader goes away and comes back: what runs goes on, what cannot says why, and everything comes back by itself."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from tests.e2e.node import programs_of

if TYPE_CHECKING:
    from tests.e2e.node import Node

pytestmark = [pytest.mark.kernel, pytest.mark.slow, pytest.mark.timeout(180)]
FAST = ("--config", "interval=0.3", "--config", "loopback=true")


def state(node: Node, name: str) -> tuple[str, str]:
    shown = node.json("get", name)
    return shown["state"], shown["reason"]


def end(node: Node, role: str) -> None:
    node.kill(role)
    node.apart[role].wait(10)


def ticks(node: Node, name: str) -> float:
    return node.series()["conductor_program_last_collect_timestamp_seconds", (("program", name),)]


def test_without_a_loader_programs_wait_and_run_once_it_is_there(node: Node) -> None:
    node.start_loader()  # it mounts the bpffs, which an agent in a view of its own must find there
    end(node, "loader")
    node.start_agent("--kernel", "embedded")
    done = node.cli("load", "builtin", "service_map", *FAST)
    assert "waits" in done.stderr
    shown = node.json("get", "service_map")
    assert (shown["state"], shown["reason"]) == ("Waiting", "KernelAway")
    assert str(node.root / "run/loader.sock") in shown["message"]
    assert "degraded: kernel programs wait (service_map)" in node.get("/readyz")
    node.cli("load", "builtin", "host_pressure")
    assert node.running("host_pressure")
    node.start_loader()
    node.wait_for(lambda: node.running("service_map"), "running", 20)
    assert "degraded" not in node.get("/readyz")
    assert len(programs_of(node)) == len(node.json("kernel", "get", "service_map")["functions"])


def test_a_loader_that_dies_takes_no_program_along(node: Node) -> None:
    node.start_loader()
    node.start_agent("--kernel", "embedded")
    node.cli("load", "builtin", "service_map", *FAST)
    held = [program["id"] for program in programs_of(node)]
    end(node, "loader")
    node.wait_for(lambda: "degraded: the kernel daemon is away" in node.get("/readyz"), "degraded", 10)
    before = node.wait_for(lambda: ticks(node, "service_map"), "counting")
    node.wait_for(lambda: ticks(node, "service_map") > before + 1, "still counting", 10)
    assert state(node, "service_map")[0] == "Running"
    node.cli("load", "builtin", "service_map", "--name", "second", *FAST)
    assert state(node, "second") == ("Waiting", "KernelAway")
    node.start_loader()
    node.wait_for(lambda: node.running("second"), "second running", 20)
    node.wait_for(lambda: "degraded" not in node.get("/readyz"), "healed", 20)
    kernel = node.json("kernel", "list")["items"]
    ids = sorted(function["id"] for item in kernel for function in item["functions"])
    assert sorted(program["id"] for program in programs_of(node)) == ids
    assert set(held) <= set(ids)


def test_what_is_unloaded_while_the_loader_is_away_goes_when_it_is_back(node: Node) -> None:
    node.start_loader()
    node.start_agent("--kernel", "embedded")
    node.cli("load", "builtin", "service_map", *FAST)
    end(node, "loader")
    node.cli("unload", "service_map")
    assert node.json("list") == {"items": []}
    assert programs_of(node)
    node.start_loader()
    node.wait_for(lambda: not programs_of(node), "unloaded", 20)
    assert node.json("kernel", "list") == {"items": []}


def test_a_silent_loader_is_told_by_the_deadline_and_its_answers_count_once_they_come(node: Node) -> None:
    node.start_loader()
    node.start_agent("--kernel", "embedded")
    node.cli("load", "builtin", "host_pressure", "--config", "interval=0.3")
    before = node.wait_for(lambda: ticks(node, "host_pressure"), "counting")
    os.kill(node.pid("loader"), signal.SIGSTOP)
    try:
        done = node.cli("load", "builtin", "service_map", "--timeout", "2s", *FAST, ok=False)
        assert (done.returncode, "the work goes on" in done.stderr) == (1, True), done.stderr
        assert state(node, "service_map")[0] in ("Waiting", "Initialized")
        assert node.running("host_pressure")
        node.wait_for(lambda: ticks(node, "host_pressure") > before + 1, "still counting", 10)
    finally:
        os.kill(node.pid("loader"), signal.SIGCONT)
    node.wait_for(lambda: node.running("service_map"), "running", 45)
    functions = node.json("kernel", "get", "service_map")["functions"]
    assert sorted(program["id"] for program in programs_of(node)) == sorted(f["id"] for f in functions)
