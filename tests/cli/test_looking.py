"""kernel, logs, top, version, completion, watch."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from conductor.cli.output import columns
from conductor.cli.top import TOP, rates
from conductor.model.agent import Usage
from conductor.model.ids import Name
from conductor.model.status import Cost, State
from tests.cli.conftest import Conduct, Served
from tests.cli.test_manifests import KERNEL, USER


def test_kernel_programs_are_listed_with_ids_and_links(agent: Conduct) -> None:
    agent("apply", "-f", "-", stdin=KERNEL.replace("path: OBJECT", "builtin: service_map"))
    document = json.loads(agent("kernel", "list", "-o", "json").out)["items"][0]
    assert document["functions"][0]["links"] == [{"id": 1, "attach": "raw_syscalls/sys_enter"}]
    assert (document["functions"][0]["mapIds"], document["functions"][0]["runSeconds"]) == ([3, 4], 0.25)
    assert "on_enter(7)" in agent("kernel", "list").out
    assert "raw_syscalls/sys_enter" in agent("kernel", "get", "syscalls").out
    assert agent("kernel", "log", "syscalls").out == "0: R1=ctx() R10=fp0\nprocessed 2 insns\n"
    assert agent("kernel", "get", "nobody").code == 1


def test_logs_are_lines_of_time_level_and_message(agent: Conduct, served: Served) -> None:
    agent("load", "builtin", "service_map")
    served.do(lambda here: here.logs.sink(Name("service_map"), 20)("warning", "slow tick"))
    line = agent("logs", "service_map").out.splitlines()[-1]
    assert line.split()[1:] == ["WARNING", "slow", "tick"]
    document = json.loads(agent("logs", "service_map", "--tail", "1", "-o", "json").out)
    assert (document["program"], document["level"], document["message"]) == ("service_map", "warning", "slow tick")


def test_top_shows_one_table_where_output_is_no_terminal(agent: Conduct) -> None:
    agent("load", "builtin", "service_map")
    said = agent("top", "--interval", "50ms")
    assert said.out.splitlines()[0].split() == [
        "NAME",
        "STATE",
        "CPU",
        "%",
        "MEMORY",
        "KERNEL",
        "%",
        "RUNS/S",
        "SERIES",
        "EVENTS/S",
        "LOSS",
    ]
    assert said.out.splitlines()[1].split() == [
        "service_map",
        "Running",
        "0.00",
        "unknown",
        "unknown",
        "unknown",
        "7",
        "0",
        "0",
    ]
    document = json.loads(agent("top", "--once", "--interval", "50ms", "-o", "json").out)
    assert document["items"][0]["kernelPercent"] is None
    assert document["items"][0]["series"] == 7


def usage(at: float, **cost: object) -> Usage:
    return Usage(time=at, costs=(Cost(name=Name("a"), **cost),), states={Name("a"): State.RUNNING})  # type: ignore[arg-type]


def test_rates_are_differences_by_time() -> None:
    (row,) = rates(
        usage(10.0, cpu_seconds=1.0, kernel_run_seconds=0.5, kernel_runs=100, events_delivered=0),
        usage(12.0, cpu_seconds=1.5, kernel_run_seconds=0.6, kernel_runs=300, events_delivered=40_000),
    )
    assert row["cpuPercent"] == 25.0
    assert round(row["kernelPercent"], 6) == 5.0
    assert (row["kernelRunsPerSecond"], row["eventsPerSecond"]) == (100.0, 20_000.0)


def test_a_counter_that_fell_and_one_that_nobody_keeps_are_unknown_not_0() -> None:
    (row,) = rates(usage(10.0, cpu_seconds=9.0), usage(12.0, cpu_seconds=0.1))
    assert (row["cpuPercent"], row["kernelPercent"], row["kernelRunsPerSecond"]) == (None, None, None)


def test_loss_and_refused_series_are_named() -> None:
    (row,) = rates(usage(1.0), usage(2.0, events_dropped={"inbox": 3, "trap": 0}, series=10, series_refused=2))
    assert "inbox=3" in columns([row], TOP)
    assert "10 (+2 refused)" in columns([row], TOP)


def test_version_tells_of_an_agent_that_is_there_and_one_that_is_not(agent: Conduct, tmp_path: Path) -> None:
    assert json.loads(agent("version", "-o", "json").out)["agent"]["node"] == "n1"
    said = agent("version", "--agent-socket", tmp_path / "none")
    assert said.code == 0
    assert said.out.splitlines()[1] == "agent     not reachable"


def test_completion_scripts_name_the_program(conduct: Conduct) -> None:
    for shell in ("bash", "zsh", "fish"):
        assert "_CONDUCTOR_COMPLETE" in conduct("completion", shell).out


def test_names_are_completed_from_the_agent(agent: Conduct, served: Served) -> None:
    agent("load", "builtin", "service_map")
    environment = {"_CONDUCTOR_COMPLETE": "bash_complete", "COMP_WORDS": "conductor get se", "COMP_CWORD": "2"}
    done = subprocess.run(
        [sys.executable, "-m", "conductor"],
        env={**os.environ, "CONDUCTOR_AGENT_SOCKET": str(served.socket), **environment},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.stdout == "plain,service_map\n"


def test_watch_prints_every_change_until_ctrl_c(agent: Conduct, served: Served) -> None:
    agent("apply", "-f", "-", stdin=USER)
    watching = subprocess.Popen(
        [sys.executable, "-m", "conductor", "list", "--watch", "-o", "json"],
        env={**os.environ, "CONDUCTOR_AGENT_SOCKET": str(served.socket)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert watching.stdout is not None
    first = json.loads(watching.stdout.readline())
    assert (first["type"], first["object"]["name"]) == ("ADDED", "flows")
    agent("stop", "flows")
    assert json.loads(watching.stdout.readline())["object"]["state"] == "Stopped"
    agent("unload", "flows")
    assert json.loads(watching.stdout.readline())["type"] == "DELETED"
    time.sleep(0.05)
    watching.send_signal(signal.SIGINT)
    _, err = watching.communicate(timeout=10)
    assert (watching.returncode, err) == (0, "")
