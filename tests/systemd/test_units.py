"""The systemd units that we ship hold what they promise: judged by systemd's own tools, then run by a real one."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from conductor.cli.units import NAMES
from tests.docs.reading import DOCS, ROOT, blocks, commands, section
from tests.systemd.machine import Machine, booted

pytestmark = [pytest.mark.kernel, pytest.mark.slow, pytest.mark.timeout(180)]
UNITS = ROOT / "conductor/systemd"
TEXT = (DOCS / "operators.md").read_text()
EXPOSURE = {"ebpfconductor-loader.service": 38, "ebpfconductor-agent.service": 30}
"""Tenths of what `systemd-analyze security` may say at most; a service without any of this has 96."""
CAPABILITIES = {"SETGID": 6, "SETUID": 7, "SETPCAP": 8, "CHOWN": 0, "DAC_READ_SEARCH": 2, "NET_ADMIN": 12}
CAPABILITIES |= {"SYS_ADMIN": 21, "FOWNER": 3}


def analyze(*words: str) -> subprocess.CompletedProcess[str]:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("needs systemd-analyze (Debian package systemd)")
    return subprocess.run(["systemd-analyze", *words], capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("name", NAMES)
def test_systemd_has_nothing_to_say_against_it(name: str, tmp_path: Path) -> None:
    unit = tmp_path / name
    unit.write_text((UNITS / name).read_text().replace("/usr/local/bin/conductor", "/bin/true"))
    done = analyze("verify", str(unit))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("name", NAMES)
def test_it_is_exposed_no_more_than_it_must(name: str) -> None:
    done = analyze("security", "--offline=true", f"--threshold={EXPOSURE[name]}", str(UNITS / name))
    assert done.returncode == 0, done.stdout


# --- a real systemd -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A machine on which the commands of the document were given."""
    with booted(tmp_path_factory.mktemp("machine")) as machine:
        machine.write("/etc/ebpfconductor/programs.yaml", blocks(TEXT, "yaml")[0])
        given = commands(section(TEXT, "Two systemd units"))
        assert len(given) >= 3
        for line in given:
            machine.run("sh", "-c", line)
        yield machine


def listed(machine: Machine, *words: str) -> list[dict[str, object]]:
    printed = machine.run("conductor", *words, "-o", "json", check=False)
    return list(json.loads(printed)["items"]) if printed else []


def running(machine: Machine, name: str, *words: str) -> bool:
    return [one["state"] for one in listed(machine, *(words or ("list",))) if one["name"] == name] == ["Running"]


def status(machine: Machine, unit: str) -> dict[str, str]:
    lines = Path(f"/proc/{machine.process(unit)}/status").read_text().splitlines()
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}


def test_what_the_file_wishes_runs_and_costs_are_known(machine: Machine) -> None:
    machine.wait_for(lambda: running(machine, "flows"), "running")
    machine.wait_for(lambda: bool(listed(machine, "top", "--once")[0]["kernelRuns"]), "counted by the kernel")
    assert [one["source"] for one in listed(machine, "list")] == ["file"]


def test_links_are_attached(machine: Machine, compiled: Callable[[str], Path]) -> None:
    shutil.copy(compiled("real"), machine.place / "real.o")
    machine.run("cp", str(machine.place / "real.o"), "/var/lib/real.o")
    link = {"interfaceSelector": {"interfaces": ["lo"]}, "direction": "Ingress"}
    kind = {"apiVersion": "ebpfconductor.io/v1alpha1", "kind": "KernelProgram", "metadata": {"name": "here"}}
    program = {"name": "tcx_plain", "type": "TCX", "tcx": {"links": [link]}}
    machine.write(
        "/var/lib/here.yaml",
        yaml.safe_dump({**kind, "spec": {"bytecode": {"path": "/var/lib/real.o"}, "programs": [program]}}),
    )
    machine.run("conductor", "apply", "-f", "/var/lib/here.yaml")
    machine.wait_for(lambda: running(machine, "here", "kernel", "list"), "attached")
    machine.run("conductor", "delete", "-f", "/var/lib/here.yaml")


def test_a_guest_is_compiled_and_runs(machine: Machine) -> None:
    if shutil.which("wasm-ld") is None or shutil.which("clang") is None:
        pytest.skip("needs clang and wasm-ld (Debian packages clang, lld, wasi-libc)")
    made = "conductor wasm new watcher --lang c --no-kernel && conductor wasm build watcher"
    machine.run("sh", "-c", f"cd /var/lib && {made}")
    machine.run("conductor", "load", "wasm", "/var/lib/watcher/watcher.wasm")
    machine.wait_for(lambda: running(machine, "watcher"), "running")
    machine.run("conductor", "unload", "watcher")


@pytest.mark.parametrize("name", NAMES)
def test_each_has_the_rights_that_its_unit_leaves(machine: Machine, name: str) -> None:
    machine.wait_for(lambda: running(machine, "flows"), "running")
    (left,) = re.findall(r"^CapabilityBoundingSet=(.*)$", (UNITS / name).read_text(), re.MULTILINE)
    bits = sum(1 << CAPABILITIES[word.removeprefix("CAP_")] for word in left.split())
    told = status(machine, name)
    is_agent = "agent" in name
    assert int(told["CapBnd"], 16) == (0 if is_agent else bits)
    assert int(told["CapEff"], 16) == (0 if is_agent else bits)
    assert told["Uid"].split() == [str(65532 if is_agent else 0)] * 4
    assert (told["NoNewPrivs"], told["Seccomp"]) == ("1", "2")


@pytest.mark.parametrize("name", NAMES)
def test_each_sees_a_file_system_that_it_cannot_write(machine: Machine, name: str) -> None:
    lines = Path(f"/proc/{machine.process(name)}/mountinfo").read_text().splitlines()
    options = {line.split()[4]: line.split()[5].split(",") for line in lines}
    for place in ("/", "/etc", "/sys", "/sys/fs/cgroup"):
        assert "ro" in options[place], place
    for place in ("/var/lib/ebpfconductor", "/var/cache/ebpfconductor", "/run/ebpfconductor", "/run/ebpfconductor/bpf"):
        assert "rw" in options[place], place


def test_a_loader_that_is_killed_comes_back_and_nothing_was_detached(machine: Machine) -> None:
    machine.wait_for(lambda: running(machine, "flows"), "running")
    pins = machine.run("ls", "/run/ebpfconductor/bpf/links")
    assert pins
    before = machine.main(NAMES[0])
    machine.run("systemctl", "kill", "--signal=KILL", NAMES[0])
    assert machine.run("ls", "/run/ebpfconductor/bpf/links") == pins, "the bpffs is the machine's own"
    machine.wait_for(lambda: machine.main(NAMES[0]) not in {"0", before}, "back")
    machine.wait_for(lambda: running(machine, "flows", "kernel", "list"), "found again")
    assert machine.run("ls", "/run/ebpfconductor/bpf/links") == pins
