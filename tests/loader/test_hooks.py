"""Hooks in words."""

from __future__ import annotations

import pytest

from conductor.loader.hooks import Hook, KprobeHook, TcxHook, TracepointHook, TracingHook, UprobeHook, hook_place
from conductor.model.kernel import Direction


@pytest.mark.parametrize(
    ("hook", "words"),
    [
        (TracepointHook(name="sock/inet_sock_set_state"), "tracepoint sock/inet_sock_set_state"),
        (TcxHook(interface="eth0", direction=Direction.INGRESS, priority=50), "tcx eth0 ingress 50"),
        (KprobeHook(function="do_unlinkat"), "kprobe do_unlinkat"),
        (UprobeHook(target="libc", function="malloc", pid=7), "uprobe libc malloc 7"),
        (TracingHook(kind="fentry"), "fentry"),
    ],
)
def test_a_log_tells_kind_and_place(hook: Hook, words: str) -> None:
    assert hook_place(hook) == words
