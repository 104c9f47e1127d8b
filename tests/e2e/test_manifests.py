"""Manifests with an object of one's own, on the real kernel: tried, compared, applied, refused, deleted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.e2e.node import Node

pytestmark = [pytest.mark.kernel, pytest.mark.slow]

Compiled = Callable[[str], Path]
MANIFEST = """\
apiVersion: ebpfconductor.io/v1alpha1
kind: KernelProgram
metadata: {name: NAME}
spec:
  bytecode: {path: OBJECT}
  programs: [{name: FUNCTION, type: TracePoint, tracepoint: {links: [{name: EVENT}]}}]
"""


def manifest(path: Path, name: str, function: str, event: str = "raw_syscalls/sys_enter") -> str:
    words = {"NAME": name, "OBJECT": str(path), "FUNCTION": function, "EVENT": event}
    text = MANIFEST
    for word, value in words.items():
        text = text.replace(word, value)
    return text


def test_what_was_never_sent_can_be_tried_and_compared_first(clean: Node, compiled: Compiled) -> None:
    text = manifest(compiled("counters"), "syscalls", "on_enter")
    assert clean.cli("apply", "-f", "-", "--dry-run", stdin=text).stdout == "kernelprogram/syscalls created\n"
    assert "+  name: syscalls" in clean.cli("diff", "-f", "-", stdin=text).stdout.splitlines()
    assert clean.json("kernel", "list") == {"items": []}
    clean.cli("apply", "-f", "-", stdin=text)
    clean.wait_for(lambda: clean.json("kernel", "get", "syscalls")["state"] == "Running", "running")
    assert clean.cli("diff", "-f", "-", stdin=text).stdout == ""
    clean.cli("delete", "-f", "-", stdin=text)


@pytest.mark.parametrize(
    ("wished", "reason", "says"),
    [
        (("rejected", "bad", "raw_syscalls/sys_enter"), "VerifierRejected", "invalid mem access 'scalar'"),
        (("counters", "on_leave", "raw_syscalls/sys_enter"), "InvalidSpec", "it has on_enter, on_exit"),
        (("counters", "on_enter", "raw_syscalls/sys_entr"), "NotFound", "near: raw_syscalls/sys_enter"),
    ],
)
def test_what_the_kernel_refuses_is_failed_with_a_sentence(
    shared: Node, compiled: Compiled, wished: tuple[str, str, str], reason: str, says: str
) -> None:
    source, function, event = wished
    text = manifest(compiled(source), "refused", function, event)
    shared.cli("apply", "-f", "-", stdin=text)
    shared.wait_for(lambda: shared.json("kernel", "get", "refused")["state"] == "Failed", "failed")
    shown = shared.json("kernel", "get", "refused")
    shared.cli("delete", "-f", "-", stdin=text)
    assert shown["reason"] == reason
    assert says in shown["message"]
    assert "version before" not in shown["message"]  # there is none
