"""Bad input at the doors of a real agent: each has its exit code or status, and a sentence that helps."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from grpclib.const import Status

from conductor.errors import ObjectUnreadable
from conductor.model.status import State
from tests.api.raw import Answer, ask, framed, talking, text
from tests.e2e.node import CONDUCTOR, pins_of, programs_of

if TYPE_CHECKING:
    from tests.e2e.node import Node

pytestmark = [pytest.mark.kernel, pytest.mark.slow, pytest.mark.timeout(120)]
DONE, REFUSED, USAGE, UNREACHABLE, INTERRUPTED = 0, 1, 2, 3, 130
LOAD = ("load", "builtin", "service_map")
KERNEL = """\
apiVersion: ebpfconductor.io/v1alpha1
kind: KernelProgram
metadata: {name: k}
spec:
  bytecode: {path: "%s"}
  programs: [{name: %s, type: TracePoint, tracepoint: {links: [{name: %s}]}}]
"""
USER = """\
apiVersion: ebpfconductor.io/v1alpha1
kind: UserProgram
metadata: {name: u}
spec: {source: {wasm: {path: "%s"}}}
"""
Compiled = Callable[[str], Path]


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (("load", "builtin", "nothing"), REFUSED, "there is no built-in 'nothing'; here are: "),
        (("load", "builtin", "service_mop"), REFUSED, "did you mean service_map"),
        ((*LOAD, "--name", "Bad Name"), REFUSED, "name: 'Bad Name' is not a name"),
        ((*LOAD, "--config", "interval=-1"), REFUSED, "config.interval: -1 is not from 0.1 to 300"),
        ((*LOAD, "--config", "colour=1"), REFUSED, "config.colour: service_map has no such setting"),
        ((*LOAD, "--limit", "memory=lots"), REFUSED, "limits.memory: 'lots' is not a quantity"),
        ((*LOAD, "--map", "nope=k"), REFUSED, "map pairs (hash) is needed and not granted: --map pairs="),
        ((*LOAD, "--map", "pairs=k"), REFUSED, "map pairs is granted Read and needed ReadWrite"),
        ((*LOAD, "--config", "novalue"), USAGE, "'novalue' is not written KEY=VALUE"),
        ((*LOAD, "--map", "pairs=k:write"), USAGE, "access 'write' is none of read, consume, rw"),
        (("unload", "nobody"), REFUSED, "no program is called nobody; conductor list shows"),
        (("get", "nobody"), REFUSED, "no program is called nobody"),
        (("restart", "nobody"), REFUSED, "no program is called nobody"),
        (("update", "nobody", "--config", "a=1"), REFUSED, "no program is called nobody"),
        (("logs", "nobody"), REFUSED, "no program is called nobody"),
        (("kernel", "get", "nobody"), REFUSED, "no kernel program is called nobody"),
        (("kernel", "log", "nobody"), REFUSED, "no kernel program is called nobody"),
        (("apply", "-f", "/nonexistent.yaml"), REFUSED, "/nonexistent.yaml: No such file or directory"),
        (("nonsense",), USAGE, "No such command 'nonsense'"),
        (("list", "-o", "xml"), USAGE, "'xml' is not one of"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_commands(clean: Node, words: tuple[str, ...], code: int, sentence: str) -> None:
    done = clean.cli(*words, ok=False)
    assert (done.returncode, done.stdout) == (code, "")
    assert sentence in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert clean.is_empty()


def test_a_granted_map_that_is_not_there_is_waited_for(clean: Node) -> None:
    done = clean.cli(*LOAD, "--map", "pairs=nobody/none:rw", "--map", "losses=nobody", ok=False)
    assert (done.returncode, "waits" in done.stderr) == (DONE, True)
    shown = clean.json("get", "service_map")
    assert (shown["state"], shown["reason"]) == ("Waiting", "MapMissing")
    assert "map none of kernel program nobody (granted as pairs) is not there" in shown["message"]
    assert "--map pairs=KERNELPROGRAM" in shown["message"]


def test_a_map_of_another_layout_is_named(clean: Node, compiled: Compiled) -> None:
    clean.cli("apply", "-f", "-", stdin=KERNEL % (compiled("counters"), "on_enter", "raw_syscalls/sys_enter"))
    clean.wait_for(lambda: clean.json("kernel", "get", "k")["state"] == "Running", "running")
    done = clean.cli(*LOAD, "--map", "pairs=k/by_pid:rw", "--map", "losses=k/total", ok=False)
    shown = clean.json("get", "service_map")
    assert (done.returncode, shown["state"], shown["reason"]) == (REFUSED, "Failed", "MapMismatch")
    assert "map by_pid of kernel program k: its keys have 4 bytes, and pairs needs 40" in shown["message"]
    clean.cli("unload", "service_map")
    clean.cli("delete", "-f", "-", stdin="kind: KernelProgram\nmetadata: {name: k}")


# --- objects ---


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda path: path.write_bytes(b""), "bad.o is empty"),
        (lambda path: path.write_text("#!/bin/sh"), "bad.o is no ELF file"),
        (lambda path: path.write_bytes(Path("/bin/true").read_bytes()), "clang -target bpf"),
    ],
    ids=["empty", "text", "another machine's"],
)
@pytest.mark.parametrize("sent", [True, False], ids=["sent", "read by the agent"])
def test_objects_that_are_none_are_refused_by_the_path_that_was_given(
    clean: Node, make: Callable[[Path], object], sentence: str, *, sent: bool
) -> None:
    path = clean.root / "bad.o"
    make(path)
    manifest = KERNEL % (path, "f", "raw_syscalls/sys_enter")
    if sent:
        done = clean.cli("apply", "-f", "-", stdin=manifest, ok=False)
        assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (REFUSED, "", 1)
        said = done.stderr
    else:
        path.chmod(0o644)
        with pytest.raises(ObjectUnreadable) as refused:
            clean.ask(lambda agent: agent.apply(manifest))
        said = str(refused.value)
    assert str(path) in said
    assert sentence in said
    assert "sha256" not in said
    assert clean.is_empty()


@pytest.mark.parametrize("content", [b"", b"#!/bin/sh", b"\0asm\x0d\0\1\0"], ids=["empty", "text", "a component"])
def test_modules_that_are_none_are_refused_by_the_path_that_was_given(clean: Node, content: bytes) -> None:
    path = clean.root / "bad.wasm"
    path.write_bytes(content)
    for words, stdin in ((("apply", "-f", "-"), USER % path), (("load", "wasm", str(path)), "")):
        done = clean.cli(*words, stdin=stdin, ok=False)
        assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (REFUSED, "", 1), words
        assert str(path) in done.stderr
        assert "sha256" not in done.stderr
        assert clean.is_empty()


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("/nonexistent.o", "/nonexistent.o: No such file or directory"),
        ("/dev/zero", "/dev/zero is not a regular file"),
        ("/tmp", "Is a directory"),
        ("relative.o", 'line 5: spec.bytecode.path: Invalid value: "relative.o": must be absolute'),
    ],
)
def test_paths_to_no_object_are_refused_and_nothing_is_kept(clean: Node, path: str, sentence: str) -> None:
    done = clean.cli("apply", "-f", "-", stdin=KERNEL % (path, "f", "raw_syscalls/sys_enter"), ok=False)
    assert (done.returncode, sentence in done.stderr) == (REFUSED, True), done.stderr
    assert clean.is_empty()


def test_an_object_that_the_agent_may_not_read_is_refused_unless_it_is_sent(clean: Node, compiled: Compiled) -> None:
    path = clean.root / "closed.o"
    path.write_bytes(compiled("counters").read_bytes())
    path.chmod(0o600)
    manifest = KERNEL % (path, "on_enter", "raw_syscalls/sys_enter")
    with pytest.raises(ObjectUnreadable, match=r"Permission denied \(the agent reads it as its own user\)"):
        clean.ask(lambda agent: agent.apply(manifest))
    assert clean.is_empty()
    clean.cli("apply", "-f", "-", stdin=manifest)  # root's command line reads and sends it
    clean.wait_for(lambda: len(programs_of(clean)) == 1, "loaded")
    gone(clean)


def test_a_damaged_object_is_told_from_a_whole_one(clean: Node, compiled: Compiled) -> None:
    path = clean.root / "cut.o"
    path.write_bytes(compiled("counters").read_bytes()[:1000])
    done = clean.cli("apply", "-f", "-", stdin=KERNEL % (path, "on_enter", "raw_syscalls/sys_enter"), ok=False)
    assert done.returncode == REFUSED
    assert f"{path}: " in done.stderr
    assert "cut short or damaged" in done.stderr
    assert clean.is_empty()


@pytest.mark.parametrize(
    ("where", "reason", "sentence"),
    [
        (("nope", "raw_syscalls/sys_enter"), "InvalidSpec", "has no program nope; it has on_enter, on_exit"),
        (("on_enter", "raw_syscalls/sys_entry"), "NotFound", "near: raw_syscalls/sys_e"),
    ],
)
def test_what_an_object_or_the_kernel_lacks_is_named_with_what_there_is(
    clean: Node, compiled: Compiled, where: tuple[str, str], reason: str, sentence: str
) -> None:
    assert failed(clean, KERNEL % (compiled("counters"), *where)) == reason
    message = clean.json("kernel", "get", "k")["message"]
    assert sentence in message
    assert "sha256" not in message
    gone(clean)


def test_the_verifier_s_log_is_shown(clean: Node, compiled: Compiled) -> None:
    assert failed(clean, KERNEL % (compiled("rejected"), "bad", "raw_syscalls/sys_enter")) == "VerifierRejected"
    shown = clean.json("kernel", "get", "k")
    assert "R1 invalid mem access 'scalar'" in shown["message"]
    assert "conductor kernel log" in shown["message"]
    log = clean.cli("kernel", "log", "k").stdout
    assert "R1 invalid mem access 'scalar'" in log
    assert "processed " in log
    assert len(log.splitlines()) > 5
    assert programs_of(clean) == []
    gone(clean)


def failed(node: Node, manifest: str) -> str:
    """Apply a kernel program; answer why it failed."""
    node.cli("apply", "-f", "-", stdin=manifest)

    def reason() -> str:
        condition = node.ask(lambda agent: agent.get_kernel("k")).condition
        return condition.reason if condition.state is State.FAILED else ""

    return str(node.wait_for(reason, "failed"))


def gone(node: Node) -> None:
    node.ask(lambda agent: agent.delete("kind: KernelProgram\nmetadata: {name: k}"))
    assert (programs_of(node), pins_of(node)) == ([], [])


# --- manifests ---


@pytest.mark.parametrize(
    ("manifest", "sentence"),
    [
        ("", "holds no document"),
        ("a: [1", "line 1: no YAML"),
        ("\tx: 1", "line 1: no YAML"),
        ("kind: Pod\napiVersion: v1\nmetadata: {name: x}", "apiVersion"),
        (KERNEL % ("/x.o", "f", "a/b") + "  colour: red\n", "line 7: spec.colour"),
        ((KERNEL % ("/x.o", "f", "a/b")).replace("TracePoint", "Tracepoint"), "did you mean TracePoint"),
        (
            (KERNEL % ("/x.o", "f", "a/b")).replace("{name: k}", "{name: K}"),
            'line 3: metadata.name: Invalid value: "K"',
        ),
        (KERNEL % ("/x.o", "f", "a/b") + "---\n" + KERNEL % ("/x.o", "f", "a/b"), "KernelProgram k is there twice"),
        ("&a [*a]", "nested deeper"),
        ("a: " + "[" * 5000, "nested deeper"),
        ("x" * 300_000, "longer than 256 KiB"),
    ],
    ids=[
        *("empty", "cut", "tab", "another kind", "unknown field", "near type", "bad name", "twice"),
        *("endless alias", "deep", "long"),
    ],
)
def test_manifests(clean: Node, manifest: str, sentence: str) -> None:
    done = clean.cli("apply", "-f", "-", stdin=manifest, ok=False)
    assert (done.returncode, done.stdout) == (REFUSED, "")
    assert sentence in done.stderr, done.stderr
    assert clean.is_empty()


# --- raw messages ---


def raw(node: Node, method: str, data: bytes) -> Answer:
    return asyncio.run(ask(node.socket, method, data))


@pytest.mark.parametrize(
    ("method", "data", "status", "sentence"),
    [
        ("Load", framed(text(2, "nothing")), Status.NOT_FOUND, "there is no built-in 'nothing'"),
        ("Load", framed(b""), Status.INVALID_ARGUMENT, "name: "),
        ("Load", framed(b"\x12\x02\xff\xfe"), Status.INVALID_ARGUMENT, "name: no UTF-8"),
        ("Load", framed(b"\x12\x20short"), Status.INVALID_ARGUMENT, "cut short"),
        ("Load", framed(text(2, "x") + b"\x18\x07"), Status.INVALID_ARGUMENT, "program_type: 7"),
        ("Load", b"\0\0\0\0\x09" + b"\x0a\x02", Status.INVALID_ARGUMENT, "cut short"),
        ("Load", b"", Status.INVALID_ARGUMENT, "missing"),
        ("Unload", framed(text(1, "nobody")), Status.NOT_FOUND, "no program is called nobody"),
        ("Get", framed(text(1, "")), Status.INVALID_ARGUMENT, "name: "),
        ("KernelLog", framed(text(1, "nobody")), Status.NOT_FOUND, "no kernel program is called nobody"),
        ("Nonsense", framed(b""), Status.UNIMPLEMENTED, "Nonsense is no method"),
    ],
)
def test_messages(clean: Node, method: str, data: bytes, status: Status, sentence: str) -> None:
    answer = raw(clean, method, data)
    assert answer.status is status, answer.message
    assert sentence in answer.message
    assert clean.is_empty()


def test_a_message_past_4_mib_is_refused_before_it_is_read(clean: Node) -> None:
    async def begin() -> Answer:
        async with asyncio.timeout(10), talking(clean.socket) as connection:
            stream = connection.begin("Load")
            connection.send(stream, b"\0" + (5 << 20).to_bytes(4, "big"))  # and never the rest
            return await connection.answer(stream)

    answer = asyncio.run(begin())
    assert (answer.status, "4 MiB" in answer.message) == (Status.RESOURCE_EXHAUSTED, True)


def test_nobody_there(node: Node) -> None:
    done = node.cli("list", ok=False)
    assert (done.returncode, done.stdout) == (UNREACHABLE, "")
    assert "start one with `conductor up`" in done.stderr


def test_an_agent_that_is_stopped_is_unreachable_soon(clean: Node) -> None:
    pid = clean.pid("agent")
    os.kill(pid, signal.SIGSTOP)
    try:
        for words in (("list",), LOAD):
            begun = time.monotonic()
            done = clean.cli(*words, ok=False)
            assert (done.returncode, done.stdout) == (UNREACHABLE, "")
            assert "takes connections and says nothing for 8 s" in done.stderr
            assert len(done.stderr.splitlines()) == 1
            assert time.monotonic() - begun < 12
    finally:
        os.kill(pid, signal.SIGCONT)
    assert clean.is_empty()


def test_an_agent_that_is_stopped_can_be_left_with_ctrl_c(clean: Node) -> None:
    pid = clean.pid("agent")
    os.kill(pid, signal.SIGSTOP)
    try:
        command = [*CONDUCTOR, "list", "--agent-socket", str(clean.socket)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd="/") as waiting:
            time.sleep(2)
            waiting.send_signal(signal.SIGINT)
            assert waiting.wait(5) == INTERRUPTED
    finally:
        os.kill(pid, signal.SIGCONT)
