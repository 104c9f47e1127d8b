"""What an example saves outlives its instance: through updates, restarts and a killed agent, in every language."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from conductor.cli.wasm_project import Language
from tests.e2e.node import Node, told
from tests.sdk.conftest import LANGUAGES, Make

pytestmark = [pytest.mark.kernel, pytest.mark.slow, pytest.mark.timeout(300)]
STALL = 1.5
"""Seconds that an agent is stopped for: longer than ticks are late on any machine that tests run on at all."""


@pytest.fixture(params=LANGUAGES)
def watcher(request: pytest.FixtureRequest, node: Node, made: Make) -> Path:
    """A psi_watch that ticks, and has seen a tick come much too late."""
    module = made(request.param, "psi_watch") / "psi_watch.wasm"
    node.cli("load", "wasm", str(module), "--config", "interval=0.2")
    ticking(node)
    pid = node.pid("agent")
    os.kill(pid, signal.SIGSTOP)
    try:
        time.sleep(STALL)
    finally:
        os.kill(pid, signal.SIGCONT)
    node.wait_for(lambda: worst(node) > STALL / 2, "a tick that came late")
    return module


def worst(node: Node) -> float:
    return told(node.series("?program=psi_watch"), "psi_watch_worst_delay_seconds")


def ticks(node: Node) -> float:
    return told(node.series("?program=psi_watch"), "psi_watch_ticks_total")


def ticking(node: Node) -> None:
    """Wait until it has ticked twice from now on."""
    before = ticks(node)
    node.wait_for(lambda: ticks(node) >= before + 2, "ticks")


def test_an_update_goes_on_with_the_state(node: Node, watcher: Path) -> None:
    late, counted = worst(node), ticks(node)
    node.cli("update", "psi_watch", "--wasm", str(watcher), "--config", "interval=0.1")
    ticking(node)
    assert worst(node) >= late
    assert ticks(node) > counted


@pytest.mark.usefixtures("watcher")
def test_a_restart_goes_on_with_the_state(node: Node) -> None:
    late = worst(node)
    node.cli("restart", "psi_watch")
    ticking(node)
    assert worst(node) >= late


@pytest.mark.usefixtures("watcher")
def test_a_new_agent_goes_on_with_the_state_that_was_saved(node: Node) -> None:
    node.cli("restart", "psi_watch")
    late = worst(node)
    node.kill("agent")
    node.wait_ready()
    ticking(node)
    assert worst(node) >= late


@pytest.mark.usefixtures("watcher")
def test_a_version_that_is_not_healthy_is_taken_back(node: Node) -> None:
    late = worst(node)
    refused = node.cli("update", "psi_watch", "--config", "patience=0", ok=False)
    assert refused.returncode == 1
    assert "not healthy" in refused.stderr
    ticking(node)
    assert worst(node) >= late
    assert node.json("get", "psi_watch")["state"] == "Running"


@pytest.mark.parametrize("change", [("restart", "exec_snoop"), ("update", "exec_snoop", "--config", "interval=50")])
@pytest.mark.parametrize("language", LANGUAGES)
def test_what_was_counted_since_the_last_tick_is_not_lost(
    node: Node, made: Make, greeter: str, language: Language, change: tuple[str, ...]
) -> None:
    """It ticks once as it starts, and then not for a minute."""
    folder = made(language, "exec_snoop")
    kernel_half = (folder / "manifest.yaml").read_text().split("---")[0]
    node.cli("apply", "-f", "-", stdin=kernel_half)
    grants = ("--map", "execs=exec-snoop-kernel/execs:consume", "--map", "lost=exec-snoop-kernel/lost")
    node.cli("load", "wasm", str(folder / "exec_snoop.wasm"), *grants, "--config", "interval=60")
    for _ in range(5):
        subprocess.run([greeter], check=True)
    delivered = "conductor_program_events_delivered_total"
    node.wait_for(lambda: told(node.series(), delivered, program="exec_snoop") >= 5, "delivered")
    node.cli(*change)
    command = Path(greeter).name
    node.wait_for(lambda: told(node.series(), "exec_snoop_execs_total", command=command) == 5, "all counted", 10)


@pytest.mark.skipif(len(LANGUAGES) < 2, reason="needs the compilers of two languages: nox -s sdk")
def test_state_of_another_program_does_not_fail_a_version(node: Node, made: Make) -> None:
    """Go saves JSON, the others 16 bytes."""
    first, *others = [str(made(language, "psi_watch") / "psi_watch.wasm") for language in LANGUAGES]
    node.cli("load", "wasm", first, "--config", "interval=0.2")
    for module in (*others, first):
        ticking(node)
        node.cli("update", "psi_watch", "--wasm", module)
    ticking(node)
