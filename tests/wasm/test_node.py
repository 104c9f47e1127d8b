"""A whole node with wasm programs: the command line, an agent without rights, the real loader and kernel."""

from __future__ import annotations

import asyncio
import base64
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from grpclib.const import Status

from conductor.model.grants import Access, MapNeed, MapType
from conductor.wasm.abi import NEEDS_SECTION
from conductor.wasm.needs import Needs, needs_text
from conductor.wasm.sections import custom_section
from tests.api.raw import ask, framed, record, text
from tests.e2e.node import Node, launched, told
from tests.wasm.guests import Wat, counting, ring_counter, stream_counter, trap_once
from tests.wasm.test_compile import bomb
from tests.wasm.test_hostile import HOST_LOOP, LOGS, SPIN
from tests.wasm.test_maps import summing

pytestmark = [pytest.mark.kernel, pytest.mark.slow, pytest.mark.timeout(180)]
EVENTS = Needs(interval=0.2, maps=(MapNeed(name="events", type=MapType.RINGBUF, access=Access.CONSUME),))


@pytest.fixture
def node() -> Iterator[Node]:
    with launched() as node:
        node.start("--kernel", "embedded")
        yield node


@pytest.fixture
def put() -> Iterator[Callable[[str, bytes], str]]:
    """Write a module to a place of its own."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)

        def write(name: str, module: bytes) -> str:
            path = Path(folder) / f"{name}.wasm"
            path.write_bytes(module)
            return str(path)

        yield write


Put = Callable[[str, bytes], str]


def kernel_program(node: Node, object_: Path, pid: int) -> None:
    """events.bpf.c, fed by the process that the kernel calls `pid`."""
    only = base64.b64encode(pid.to_bytes(4, "little")).decode()
    node.cli(
        "apply",
        "-f",
        "-",
        stdin=f"""
apiVersion: ebpfconductor.io/v1alpha1
kind: KernelProgram
metadata: {{name: calls}}
spec:
  bytecode: {{path: {object_}}}
  globalData: {{only_pid: "{only}"}}
  programs: [{{name: on_enter, type: TracePoint, tracepoint: {{links: [{{name: raw_syscalls/sys_enter}}]}}}}]
""",
    )


def emit(times: int) -> None:
    for i in range(times):
        os.getppid()
        if i % 50 == 49:
            time.sleep(0.02)


def test_a_ring_reaches_a_guest_and_its_update(
    node: Node, put: Put, compiled: Callable[[str], Path], kernel_pid: int
) -> None:
    kernel_program(node, compiled("events"), kernel_pid)
    module = put("one", ring_counter(EVENTS))
    refused = node.cli("load", "wasm", module, ok=False)
    assert refused.returncode == 1
    assert "--map events=KERNELPROGRAM:consume" in refused.stderr
    node.cli("load", "wasm", module, "--map", "events=calls:consume")
    emit(300)
    node.wait_for(lambda: told(node.series("?program=one"), "told_total") == 300, "all records")
    newer = put("newer", ring_counter(EVENTS, buffer=8192))
    node.cli("update", "one", "--wasm", newer, "--map", "events=calls:consume")
    emit(200)
    node.wait_for(lambda: told(node.series("?program=one"), "told_total") == 500, "the new version's records")
    page = node.series()
    assert told(page, "conductor_program_events_taken_total", program="one") == 500
    assert told(page, "conductor_program_events_delivered_total", program="one") == 500


def test_a_failure_costs_only_the_records_it_failed_over(
    node: Node, put: Put, compiled: Callable[[str], Path], kernel_pid: int
) -> None:
    """The page's books add up over both instances, and by stream."""
    kernel_program(node, compiled("events"), kernel_pid)
    module = put("once", stream_counter(EVENTS, ("events",), buffer=4096, on_events=trap_once()))
    node.cli("load", "wasm", module, "--map", "events=calls:consume")
    emit(150)  # its ring holds 170 while it is down
    books = "conductor_program_stream_events_"
    labels = {"program": "once", "stream": "events"}

    def lost() -> float:
        return told(node.series(), f"{books}dropped_total", reason="trap", **labels)

    node.wait_for(lambda: told(node.series("?program=once"), "streamed_total", stream="events") == 150 - lost(), "rest")
    node.wait_for(lambda: told(node.series(), f"{books}delivered_total", **labels) == 150 - lost(), "its books")
    page = node.series()
    assert 0 < lost() < 150
    assert told(page, f"{books}taken_total", **labels) == 150
    assert told(page, "conductor_program_events_taken_total", program="once") == 150
    assert told(page, "conductor_program_restarts_total", program="once") == 1


def test_a_client_of_old_loads_a_module_with_a_map(node: Node, put: Put, compiled: Callable[[str], Path]) -> None:
    """Raw messages with fields 1 to 6 only: bytecode.file, name, type, ebpf_maps."""
    node.cli(
        "apply",
        "-f",
        "-",
        stdin=f"""
apiVersion: ebpfconductor.io/v1alpha1
kind: KernelProgram
metadata: {{name: syscalls}}
spec:
  bytecode: {{path: {compiled("counters")}}}
  programs: [{{name: on_enter, type: TracePoint, tracepoint: {{links: [{{name: raw_syscalls/sys_enter}}]}}}}]
""",
    )
    need = MapNeed(name="by_pid", type=MapType.HASH, key_size=4, value_size=16)
    module = summing("by_pid", room=2048) + custom_section(NEEDS_SECTION, needs_text(Needs(interval=0.2, maps=(need,))))
    head = record(1, text(2, put("sums", module))) + text(2, "old") + b"\x18\x01"

    async def story() -> None:
        bare = await ask(node.socket, "Load", framed(head))
        assert bare.status is Status.INVALID_ARGUMENT
        assert "--map by_pid=KERNELPROGRAM" in bare.message
        loaded = await ask(node.socket, "Load", framed(head + record(4, text(1, "by_pid") + text(2, "syscalls"))))
        assert loaded.status is Status.OK
        assert b"\x18\x02" in loaded.body  # Running

    asyncio.run(story())
    node.wait_for(lambda: told(node.series("?program=old"), "entries") > 0, "entries")


def test_wasm_programs_come_back_after_a_kill(node: Node, put: Put) -> None:
    node.cli("load", "wasm", put("one", counting(needs=Needs(interval=0.1))))
    node.kill("agent")
    node.wait_ready()
    node.wait_for(lambda: told(node.series("?program=one"), "ticks_total") > 0, "it ticks again")


def test_a_bad_update_is_taken_back(node: Node, put: Put) -> None:
    node.cli("load", "wasm", put("one", counting(needs=Needs(interval=0.1))))
    worse = put("worse", Wat().build(tick="unreachable", needs=Needs(interval=0.1)))
    refused = node.cli("update", "one", "--wasm", worse, ok=False)
    assert refused.returncode == 1
    assert "unreachable" in refused.stderr
    before = told(node.series("?program=one"), "ticks_total")
    node.wait_for(lambda: told(node.series("?program=one"), "ticks_total") > before, "the old version ticks")
    assert node.json("get", "one")["state"] == "Running"


def user_program(name: str, path: str, limits: str = "{}") -> str:
    return f"""
apiVersion: ebpfconductor.io/v1alpha1
kind: UserProgram
metadata: {{name: {name}}}
spec: {{source: {{wasm: {{path: {path}}}}}, limits: {limits}}}
---"""


def test_hostile_programs_beside_twenty_good_ones(node: Node, put: Put) -> None:
    good = put("good", counting(needs=Needs(interval=0.2)))
    ticks = {
        "spin": f"{SPIN} (i32.const 0)",
        "host": f"{HOST_LOOP} (i32.const 0)",
        "logs": f"{LOGS} (i32.const 0)",
        "trap": "unreachable",
        "memory": "(loop $more (br_if $more (i32.ne (memory.grow (i32.const 1)) (i32.const -1)))) unreachable",
    }
    bad = {name: put(name, Wat().build(tick=body, needs=Needs(interval=0.1))) for name, body in ticks.items()}
    wanted = "".join(user_program(f"good{i}", good) for i in range(20))
    wanted += "".join(user_program(name, path, "{cpuCall: 300ms}") for name, path in bad.items())
    node.cli("apply", "-f", "-", stdin=wanted)
    node.wait_for(lambda: len(gains(node)) == 20, "all good ones tick")
    bombing = node._popen("load", "wasm", put("bomb", bomb(15_000)), "--agent-socket", str(node.socket))
    slow_scrapes, slow_calls, first = [], [], gains(node)
    end = time.monotonic() + 5
    while time.monotonic() < end:
        at = time.monotonic()
        node.get("/metrics")
        slow_scrapes.append(time.monotonic() - at)
        at = time.monotonic()
        node.cli("list", "-o", "name")
        slow_calls.append(time.monotonic() - at)
    gained = [after - before for before, after in zip(first, gains(node), strict=True)]
    assert min(gained) > 10, gained  # 25 on a quiet machine
    assert sorted(slow_scrapes)[len(slow_scrapes) // 2] < 0.2, slow_scrapes
    assert sorted(slow_calls)[len(slow_calls) // 2] < 2.0, slow_calls  # mostly the start of a process
    for name in bad:  # between tries it says why; during one it does not
        node.wait_for(partial(has_reason, node, name), f"{name} told")
    bombing.wait(60)


def gains(node: Node) -> list[float]:
    """Ticks of each good program that ticks."""
    page = node.series()
    return [value for (name, labels), value in sorted(page.items()) if name == "ticks_total" and labels]


def has_reason(node: Node, name: str) -> bool:
    return node.json("get", name)["reason"] in ("CallBudget", "Trapped", "CrashLoop")
