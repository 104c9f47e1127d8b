"""The YAML of the cluster on a machine without one: apply, diff, delete, and a file that is kept applied."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from conductor.model.status import State
from tests.e2e.node import links_of, pins_of, programs_of
from tests.wasm.guests import Wat, counting

if TYPE_CHECKING:
    from tests.e2e.node import Node

pytestmark = [pytest.mark.kernel, pytest.mark.slow, pytest.mark.timeout(120)]
KERNEL = """\
apiVersion: ebpfconductor.io/v1alpha1
kind: KernelProgram
metadata: {name: syscalls}
spec:
  bytecode: {path: %s}
  programs: [{name: on_enter, type: TracePoint, tracepoint: {links: [{name: raw_syscalls/sys_enter}]}}]
"""
USER = """\
apiVersion: ebpfconductor.io/v1alpha1
kind: UserProgram
metadata: {name: %s, labels: {team: net}}
spec:
  source: {builtin: service_map}
  config: {interval: %g}
"""
MODULE = """\
apiVersion: ebpfconductor.io/v1alpha1
kind: UserProgram
metadata: {name: module}
spec:
  source: {wasm: {path: "%s"}}
  updateStrategy: {type: %s}
"""
Compiled = Callable[[str], Path]


def actions(node: Node, *words: str, manifest: str) -> dict[str, str]:
    document: dict[str, Any] = node.json(*words, stdin=manifest)
    return {f"{item['kind']}/{item['name']}": item["action"] for item in document["items"]}


def kernel_runs(node: Node, name: str) -> bool:
    return node.ask(lambda agent: agent.get_kernel(name)).condition.state is State.RUNNING


def interval(node: Node, name: str) -> object:
    return node.ask(lambda agent: agent.get(name)).spec.config["interval"]


def test_both_kinds_are_applied_changed_and_deleted(clean: Node, compiled: Compiled) -> None:
    both = KERNEL % compiled("counters") + "---\n" + USER % ("flows", 1)
    names = ("KernelProgram/syscalls", "UserProgram/flows")
    assert actions(clean, "apply", "-f", "-", "--dry-run", manifest=both) == dict.fromkeys(names, "created")
    assert clean.is_empty()
    assert actions(clean, "apply", "-f", "-", manifest=both) == dict.fromkeys(names, "created")
    clean.wait_for(lambda: clean.running("flows"), "running")
    clean.wait_for(lambda: kernel_runs(clean, "syscalls"), "running")
    assert clean.json("get", "flows")["metadata"] == {"team": "net"}
    kernel = clean.json("kernel", "get", "syscalls")
    assert [(f["name"], [link["attach"] for link in f["links"]]) for f in kernel["functions"]] == [
        ("on_enter", ["raw_syscalls/sys_enter"])
    ]
    held = [program["id"] for program in programs_of(clean)]
    assert actions(clean, "apply", "-f", "-", manifest=both) == dict.fromkeys(names, "unchanged")
    assert clean.cli("diff", "-f", "-", stdin=both).stdout == ""

    changed = KERNEL % compiled("counters") + "---\n" + USER % ("flows", 2)
    lines = clean.cli("diff", "-f", "-", stdin=changed).stdout.splitlines()
    assert [line for line in lines if line.startswith(("+ ", "- "))] == ["-    interval: 1", "+    interval: 2"]
    assert actions(clean, "apply", "-f", "-", manifest=changed) == dict(
        zip(names, ("unchanged", "configured"), strict=True)
    )
    clean.wait_for(lambda: interval(clean, "flows") == 2, "changed")
    clean.wait_for(lambda: clean.running("flows"), "running")
    assert clean.json("get", "flows")["generation"] == 2
    assert [program["id"] for program in programs_of(clean)] == held, "no kernel program was touched"

    assert actions(clean, "delete", "-f", "-", manifest=both) == dict.fromkeys(names, "deleted")
    assert (programs_of(clean), links_of(clean), pins_of(clean)) == ([], [], [])
    assert clean.cli("delete", "-f", "-", stdin=both, ok=False).returncode == 1


def test_a_changed_object_replaces_the_kernel_program(clean: Node, compiled: Compiled) -> None:
    path = clean.root / "object.o"
    path.write_bytes(compiled("counters").read_bytes())
    clean.cli("apply", "-f", "-", stdin=KERNEL % path)
    clean.wait_for(lambda: programs_of(clean), "loaded")
    (old,) = programs_of(clean)
    path.write_bytes(compiled("shared").read_bytes())
    manifest = (KERNEL % path).replace("on_enter", "first")
    assert actions(clean, "apply", "-f", "-", manifest=manifest) == {"KernelProgram/syscalls": "configured"}
    clean.wait_for(lambda: [p["name"] for p in programs_of(clean)] == ["first"], "replaced")
    clean.wait_for(lambda: kernel_runs(clean, "syscalls"), "running")
    assert old["id"] not in {program["id"] for program in programs_of(clean)}
    assert len(links_of(clean)) == 1
    clean.cli("delete", "-f", "-", stdin=manifest)


def test_a_change_of_the_strategy_alone_is_shown_kept_and_restarts_nothing(clean: Node) -> None:
    overlapping = USER % ("flows", 1)
    alone = overlapping + "  updateStrategy: {type: Recreate}\n"
    clean.cli("apply", "-f", "-", stdin=overlapping)
    clean.wait_for(lambda: clean.running("flows"), "running")
    lines = clean.cli("diff", "-f", "-", stdin=alone).stdout.splitlines()
    changes = [line for line in lines if line.startswith(("+ ", "- "))]
    assert changes == ["+  updateStrategy:", "+    type: Recreate"]
    assert actions(clean, "apply", "-f", "-", manifest=alone) == {"UserProgram/flows": "configured"}
    assert actions(clean, "apply", "-f", "-", manifest=alone) == {"UserProgram/flows": "unchanged"}
    told = clean.json("get", "flows")
    assert (told["state"], told["generation"], told["restarts"]) == ("Running", 2, 0)
    # a request cannot say it, and changes nothing of it
    clean.cli("update", "flows", "--config", "interval=2")
    assert clean.cli("diff", "-f", "-", stdin=alone.replace("interval: 1", "interval: 2")).stdout == ""


@pytest.mark.parametrize(
    ("type_", "state", "reason"), [("Overlap", "Running", "UpdateFailed"), ("Recreate", "Failed", "")]
)
def test_what_is_recreated_has_no_old_version_to_go_on_with(clean: Node, type_: str, state: str, reason: str) -> None:
    good, bad = clean.root / "good.wasm", clean.root / "bad.wasm"
    good.write_bytes(counting())
    bad.write_bytes(Wat().build(start="unreachable"))
    clean.cli("apply", "-f", "-", stdin=MODULE % (good, type_))
    clean.wait_for(lambda: clean.running("module"), "running")
    clean.cli("apply", "-f", "-", stdin=MODULE % (bad, type_))

    def told() -> tuple[str, bool]:
        status = clean.json("get", "module")
        return status["state"], status["reason"] == reason or not reason

    clean.wait_for(lambda: told() == (state, True), f"{state}: {clean.json('get', 'module')}")
    clean.cli("apply", "-f", "-", stdin=MODULE % (good, type_))
    clean.wait_for(lambda: told() == ("Running", not reason), "mended")


def test_a_kernel_program_cannot_be_asked_to_end_first(clean: Node, compiled: Compiled) -> None:
    manifest = KERNEL % compiled("counters") + "  updateStrategy: {type: Recreate}\n"
    done = clean.cli("apply", "-f", "-", stdin=manifest, ok=False)
    assert (done.returncode, "replaced make before break; leave type out" in done.stderr) == (1, True), done.stderr
    assert clean.is_empty()


def test_one_bad_document_keeps_all_away(clean: Node, compiled: Compiled) -> None:
    manifest = KERNEL % compiled("counters") + "---\n" + USER % ("flows", -1)
    done = clean.cli("apply", "-f", "-", stdin=manifest, ok=False)
    assert (done.returncode, "config.interval: -1" in done.stderr) == (1, True), done.stderr
    assert clean.is_empty()


def test_a_file_is_kept_applied_and_holds_its_names(node: Node, compiled: Compiled) -> None:
    file = node.root / "wishes.yaml"
    file.write_text(KERNEL % compiled("counters") + "---\n" + USER % ("flows", 1))
    file.chmod(0o644)
    node.start("--kernel", "embedded", "--apply", str(file))
    node.wait_for(lambda: node.running("flows"), "running")
    assert node.json("get", "flows")["source"] == "file"

    # what the file holds, nobody else may take, change or withdraw
    taken = node.cli("load", "builtin", "service_map", "--name", "flows", ok=False)
    assert (taken.returncode, "flows is held by source file" in taken.stderr) == (1, True), taken.stderr
    for words in (("unload", "flows"), ("update", "flows", "--config", "interval=9")):
        done = node.cli(*words, ok=False)
        assert (done.returncode, "flows belongs to source file" in done.stderr) == (1, True), done.stderr
    node.cli("load", "builtin", "host_pressure")
    node.cli("load", "builtin", "service_map", "--name", "mine", "--config", "interval=3")

    # an edit while it runs
    file.write_text(USER % ("flows", 2) + "---\n" + USER % ("more", 1))
    node.wait_for(lambda: node.running("more"), "running")
    node.wait_for(lambda: node.json("get", "flows")["config"] == {"interval": 2}, "changed")
    node.wait_for(
        lambda: {i["name"] for i in node.json("kernel", "list")["items"]} == {"flows", "more", "mine"}, "gone"
    )
    assert {item["name"] for item in node.json("list")["items"]} == {"flows", "more", "host_pressure", "mine"}

    # an edit that makes no sense changes nothing, and is told until it is mended
    file.write_text("kind: [")
    node.wait_for(
        lambda: f"degraded: manifest files are not applied as they are: {file}" in node.get("/readyz"), "told"
    )
    assert node.running("flows")
    file.write_text(USER % ("flows", 2) + "---\n" + USER % ("mine", 7))
    node.wait_for(lambda: "degraded" not in node.get("/readyz"), "mended")

    # file before grpc: the other wish is kept, and told as NameTaken
    def shown() -> list[tuple[str, str, str, object]]:
        items = [status for status in node.ask(lambda agent: agent.list()) if status.name == "mine"]
        return [(s.source.word, s.state.word, s.condition.reason, s.spec.config["interval"]) for s in items]

    node.wait_for(lambda: ("file", "Running", "", 7) in shown(), f"held by the file: {shown()}")
    assert ("grpc", "Failed", "NameTaken", 3) in shown()
    file.write_text(USER % ("flows", 2))
    node.wait_for(lambda: shown() == [("grpc", "Running", "", 3)], "given back")
    assert node.stop() == 0
    assert programs_of(node) == []
