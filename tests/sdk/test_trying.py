"""Both halves on this kernel: run, record, replay, as a developer would."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from conductor.cli.wasm_project import Language
from conductor.cli.wasm_tools import INCLUDES
from tests.sdk.conftest import LANGUAGES, Conduct, Make

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(300)]


def value(document: dict[str, Any], name: str, **labels: str) -> float:
    return next((m["value"] for m in document["metrics"] if (m["name"], m["labels"]) == (name, labels)), 0)


def meanwhile(act: Callable[[], object], *words: str | Path) -> str:
    """Run the command line and do something once the kernel half is attached; answers its output."""
    command = [sys.executable, "-m", "conductor", "wasm", *map(str, words)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stderr is not None
        said = running.stderr.readline()
        if said.startswith("attached"):
            act()
        out, err = running.communicate(timeout=60)
    assert running.returncode == 0, said + err
    return out


def starting(greeter: str, times: int) -> Callable[[], None]:
    def start() -> None:
        for _ in range(times):
            subprocess.run([greeter], check=True)

    return start


@pytest.mark.parametrize("language", LANGUAGES)
def test_system_calls_are_counted_from_the_first_tick_on(conduct: Conduct, made: Make, language: Language) -> None:
    folder = made(language, "syscall_counter")
    said = conduct(
        *("wasm", "run", folder / "syscall_counter.wasm", "--kernel", folder / "syscall_counter.bpf.o"),
        *("--for", "1s", "-o", "json"),
    )
    document = json.loads(said.stdout)
    assert document["logs"] == []
    assert value(document, "syscall_counter_calls_total", nr="0") > 0
    assert all(isinstance(metric["value"], int) for metric in document["metrics"])


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_program_that_starts_is_counted(made: Make, greeter: str, language: Language) -> None:
    folder = made(language, "exec_snoop")
    said = meanwhile(
        starting(greeter, 7),
        *("run", folder / "exec_snoop.wasm", "--kernel", folder / "exec_snoop.bpf.o", "--for", "2s", "-o", "json"),
    )
    document = json.loads(said)
    assert value(document, "exec_snoop_execs_total", command=Path(greeter).name) == 7
    assert value(document, "exec_snoop_lost_total") == 0


def test_what_was_recorded_is_played_without_a_kernel(
    conduct: Conduct, made: Make, greeter: str, tmp_path: Path
) -> None:
    folder = made(Language.C, "exec_snoop")
    said = meanwhile(
        starting(greeter, 5),
        *("record", "--kernel", folder / "exec_snoop.bpf.o", "--to", tmp_path / "r", "--for", "2s", "-o", "json"),
    )
    assert json.loads(said)["records"] >= 5
    played = conduct("wasm", "replay", folder / "exec_snoop.wasm", tmp_path / "r", "-o", "json")
    assert value(json.loads(played.stdout), "exec_snoop_execs_total", command=Path(greeter).name) == 5


def test_ctrl_c_ends_a_run_with_what_there_is(made: Make) -> None:
    folder = made(Language.C, "psi_watch")
    command = [sys.executable, "-m", "conductor", "wasm", "run", str(folder / "psi_watch.wasm"), "-o", "json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        time.sleep(4)
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=30)
    assert running.returncode == 0, err
    assert value(json.loads(out), "psi_watch_ticks_total") >= 1


def test_a_need_that_the_kernel_half_has_not_is_told(conduct: Conduct, made: Make) -> None:
    wanting, other = made(Language.C, "exec_snoop"), made(Language.C, "syscall_counter")
    said = conduct(
        *("wasm", "run", wanting / "exec_snoop.wasm", "--kernel", other / "syscall_counter.bpf.o", "--for", "1s"),
        ok=False,
    )
    assert said.returncode == 1
    assert "needs a map execs; there are counts" in said.stderr


COUNTS_PACKETS = """
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} seen SEC(".maps");
SEC("xdp") int count(void *ctx)
{
	__u32 key = 0;
	__u64 *value = bpf_map_lookup_elem(&seen, &key);
	if (value)
		__sync_fetch_and_add(value, 1);
	return XDP_PASS;
}
char LICENSE[] SEC("license") = "Dual BSD/GPL";
"""
SENDS_DATAGRAMS = """
import socket
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
    for _ in range(3):
        one.sendto(b"hello", ("127.0.0.1", 9))
"""


@pytest.fixture
def counts_packets(tmp_path: Path) -> Path:
    """An object whose section names no target."""
    (tmp_path / "x.bpf.c").write_text(COUNTS_PACKETS)
    target = tmp_path / "x.bpf.o"
    flags = ("-O2", "-g", "-target", "bpf", "-mcpu=v3", *INCLUDES)
    subprocess.run(["clang", *flags, "-c", str(tmp_path / "x.bpf.c"), "-o", str(target)], check=True)
    return target


def test_a_section_without_a_target_asks_for_a_manifest(conduct: Conduct, counts_packets: Path, tmp_path: Path) -> None:
    said = conduct("wasm", "record", "--kernel", counts_packets, "--to", tmp_path / "r", "--for", "1s", ok=False)
    assert said.returncode == 1
    assert "manifest.yaml" in said.stderr


def test_a_target_is_taken_from_the_manifest(counts_packets: Path, tmp_path: Path, netns: Callable[[], str]) -> None:
    name = netns()
    links = f"[{{interfaceSelector: {{interfaces: [lo]}}, netns: /run/netns/{name}}}]"
    (tmp_path / "manifest.yaml").write_text(
        "apiVersion: ebpfconductor.io/v1alpha1\nkind: KernelProgram\nmetadata: {name: x}\nspec:\n"
        f"  bytecode: {{path: {counts_packets}}}\n  programs: [{{name: count, type: XDP, xdp: {{links: {links}}}}}]\n"
    )
    send = ["ip", "netns", "exec", name, sys.executable, "-c", SENDS_DATAGRAMS]
    meanwhile(
        lambda: subprocess.run(send, check=True, timeout=30),
        *("record", "--kernel", counts_packets, "--to", tmp_path / "r", "--for", "1s"),
    )
    last = [json.loads(line) for line in (tmp_path / "r").read_text().splitlines() if '"entries"' in line][-1]
    assert int.from_bytes(bytes.fromhex(last["entries"][0][1]), "little") >= 3
