"""The whole agent, without any right, before real bpfman daemons: the same metrics as with our own loader."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from conductor.bpfman.flavour import Flavour
from tests.e2e.node import CONDUCTOR, told
from tests.e2e.test_life import load_service_map, transfer
from tests.real_bpfman.bed import started
from tests.real_bpfman.node import RealNode, beside

pytestmark = [pytest.mark.kernel, pytest.mark.slow, pytest.mark.bpfman]
GROUP = 64321
SENT, RECEIVED = "service_map_sent_bytes_total", "service_map_received_bytes_total"
DEMO = Path(__file__).parents[2] / "examples/demo.py"
RUNS = "conductor_program_kernel_runs_total"
WAYS = [
    pytest.param(Flavour.RUST, "group", id="rust-group"),
    pytest.param(Flavour.RUST, "assist", id="rust-assist"),
    pytest.param(Flavour.GO, "assist", id="go-assist"),
]
SETS = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")


@pytest.fixture
def node(flavour: Flavour, way: str) -> Iterator[RealNode]:
    """An agent that may reach the daemon's socket and, by its group or by the assistant, its pins."""
    group = "group" if way == "group" else "socket_group"
    with started(flavour, **{group: GROUP}) as daemon, beside(daemon) as node:
        if way == "assist":
            node.assist()
        yield node


def begin(node: RealNode) -> None:
    node.begin("--groups", str(GROUP))
    load_service_map(node)
    node.wait_for(lambda: node.running("service_map"), "running")


def sent(node: RealNode, port: str) -> float:
    return told(node.series(), SENT, server_port=port, role="client")


@pytest.mark.parametrize(("flavour", "way"), WAYS)
def test_agent_without_rights_tells_the_same_metrics(node: RealNode, way: str) -> None:
    begin(node)
    port = transfer(1_234_567)

    def exact() -> bool:
        series = node.series("?program=service_map")
        received = told(series, RECEIVED, server_port=port, role="server")
        return told(series, SENT, server_port=port, role="client") == received == 1_234_567

    node.wait_for(exact, "exact")
    assert node.agrees()
    status = dict(
        line.split(":\t", 1)
        for line in Path(f"/proc/{node.pid('agent')}/status").read_text().splitlines()
        if ":\t" in line
    )
    assert {int(status[name], 16) for name in SETS} == {0}
    assert status["Uid"].split() == ["65532"] * 4
    assert status["Groups"].split() == [str(GROUP)]
    if way == "assist":
        node.wait_for(lambda: told(node.series(), RUNS, program="service_map") > 0, "counting runs")
    assert any(name == RUNS for name, _ in node.series()) == (way == "assist")


@pytest.mark.parametrize(("flavour", "way"), WAYS)
def test_doctor_tells_who_answers_and_who_enforces_grants(node: RealNode, flavour: Flavour, way: str) -> None:
    node.begin("--groups", str(GROUP))
    flags = [word for flag, place in node.paths().items() if flag.endswith("-socket") for word in (flag, place)]
    done = subprocess.run([*CONDUCTOR, "doctor", "-o", "json", *flags], capture_output=True, text=True, check=False)
    told = {item["name"]: item for item in json.loads(done.stdout)["items"]}
    assert told["bpfman"]["answer"] == "yes"
    assert told["bpfman"]["detail"].startswith(f"{flavour} on ")
    assert told["road in use"]["detail"] == f"bpfman {flavour}"
    assert told["grants enforced"]["answer"] == ("yes" if way == "assist" else "no")
    assert told["loader"]["answer"] == ("yes" if way == "assist" else "no")


@pytest.mark.parametrize(("flavour", "way"), WAYS)
def test_numbers_go_on_when_agent_and_daemon_are_killed(node: RealNode) -> None:
    begin(node)
    port = transfer(50_000)
    node.wait_for(lambda: sent(node, port) == 50_000, "told before")
    before = sorted(function["id"] for function in node.functions())
    node.kill("agent")
    assert node.daemon is not None
    node.daemon.restart(signal.SIGKILL)
    node.wait_for(lambda: node.running("service_map"), "running again")
    node.wait_for(lambda: sent(node, port) == 50_000, "told after")
    assert sorted(function["id"] for function in node.functions()) == before
    assert node.agrees()


@pytest.mark.parametrize(("flavour", "way"), WAYS)
def test_daemon_that_lost_everything_is_given_it_again(node: RealNode) -> None:
    begin(node)
    before = {function["id"] for function in node.functions()}
    assert node.daemon is not None
    node.daemon.lose_everything()

    def healed() -> bool:
        now = {function["id"] for function in node.functions()}
        return bool(now) and not now & before and node.agrees() and node.running("service_map")

    node.wait_for(healed, "healed", 60)
    port = transfer(20_000)
    node.wait_for(lambda: sent(node, port) == 20_000, "told again")


@pytest.mark.parametrize(("flavour", "way"), WAYS)
def test_unload_leaves_nothing(node: RealNode) -> None:
    begin(node)
    ids = {function["id"] for function in node.functions()}
    assert ids
    node.cli("unload", "service_map")
    assert node.functions() == []
    assert node.daemon is not None
    pins = node.daemon.place.seen(node.daemon.bpffs)
    left = [path.name for path in pins.rglob("*") if path.name in {f"prog_{id_}" for id_ in ids} | set(map(str, ids))]
    assert left == []


@pytest.mark.parametrize(
    ("flavour", "way"), [pytest.param(Flavour.GO, "none", id="go"), pytest.param(Flavour.RUST, "none", id="rust")]
)
def test_agent_that_cannot_reach_the_pins_says_what_helps(node: RealNode) -> None:
    """The socket is open to it, the pins are not."""
    node.begin("--groups", str(GROUP))
    node.cli("load", "builtin", "service_map", ok=False)
    shown = node.json("get", "service_map")
    assert shown["state"] in ("Waiting", "Failed")
    assert "conductor loader --assist" in shown["message"]
    node.assist()
    node.wait_for(lambda: node.running("service_map"), "running with the assistant", 60)


@pytest.mark.parametrize(("flavour", "way"), WAYS)
def test_demo_shows_the_same(node: RealNode) -> None:
    assert node.daemon is not None
    road = ("--kernel", "bpfman", "--bpfman-socket", node.paths()["--bpfman-socket"], "--groups", str(GROUP))
    words = (sys.executable, str(DEMO), "--for", "4", *road, "--loader-socket", node.paths()["--loader-socket"])
    done = subprocess.run(node.daemon.place.inside(*words), capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "MiB" in done.stdout
    assert (
        'loaded tracepoint program named "sock_state"' in node.daemon.log
        or "program_name=sock_state" in node.daemon.log
    )
