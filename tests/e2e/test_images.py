"""Images as a person at a terminal meets them: bars, events of pulls, and names that are none."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import subprocess
from collections.abc import Iterator
from contextlib import aclosing
from typing import TYPE_CHECKING

import pytest

from conductor.client import Agent
from conductor.errors import ConductorError, InvalidSpec
from conductor.model.agent import WatchType
from conductor.model.image import PullPhase, PullProgress
from tests.e2e.image_node import put
from tests.e2e.node import CONDUCTOR
from tests.fakes.registry import FakeRegistry
from tests.fakes.registry_thread import served_registry

if TYPE_CHECKING:
    from tests.e2e.node import Node

pytestmark = [pytest.mark.kernel, pytest.mark.slow, pytest.mark.timeout(120)]
HOSTILE = (
    "",
    "https://registry.example/a:v1",
    "oci://registry.example/a:v1",
    "registry.example/../../etc/passwd",
    "registry.example/a/../b:v1",
    "registry.example//a:v1",
    "registry.example/A:v1",
    "registry.example/a:v1/../..",
    "registry.example/a:" + "v" * 200,
    "registry.example/" + "a/" * 300 + "a",
    "registry.example:99999/a",
    "registry.example:x/a",
    "user:password@registry.example/a",
    "registry.example/a@sha256:" + "0" * 63,
    "registry.example/a@md5:" + "0" * 32,
    "registry.example/a\r\nAuthorization: x",
    "registry.example/a\x00b",
    "registry.example/a?x=1",
    "registry.example/a#x",
    "registry.example/%2e%2e/a",
    "registry.example/a b",
    "-registry.example/a",
    "../../../etc/passwd",
    "registry.example/\N{LATIN SMALL LETTER A WITH ACUTE}",
    "[::1/a:v1",
    "[::1]]:5000/a",
)
KERNEL = """\
{apiVersion: ebpfconductor.io/v1alpha1, kind: KernelProgram, metadata: {name: k},
 spec: {bytecode: {image: {url: %s}}, programs: [{name: f, type: XDP, xdp: {links: [{interfaceSelector: {interfaces: [lo]}}]}}]}}
"""
USER = """\
{apiVersion: ebpfconductor.io/v1alpha1, kind: UserProgram, metadata: {name: u}, spec: {source: {wasm: {image: {url: %s}}}}}
"""


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    with served_registry() as registry:
        yield registry


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_that_is_none_gets_a_sentence_and_leaves_nothing(clean: Node, name: str) -> None:
    async def refusals(agent: Agent) -> list[str]:
        told = []
        for ask in (
            lambda: agent.pull(name),
            lambda: agent.load("u", wasm=name),
            lambda: agent.apply(KERNEL % json.dumps(name)),
            lambda: agent.apply(USER % json.dumps(name)),
        ):
            with pytest.raises(InvalidSpec) as caught:
                await ask()
            told.append(str(caught.value))
        return told

    for sentence in clean.ask(refusals):
        assert len(sentence) < 600
        assert "\r" not in sentence
        assert "\x00" not in sentence
    assert clean.is_empty()


def test_a_slow_pull_shows_a_bar_on_a_terminal(clean: Node, registry: FakeRegistry) -> None:
    ref = put(registry, "tools/slow", size=20_000)
    registry.faults.drip = 0.005
    ours, theirs = pty.openpty()
    command = [*CONDUCTOR, "pull", ref, "--agent-socket", str(clean.socket)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=theirs, env={**os.environ, "TERM": "xterm"}) as pull:
        os.close(theirs)
        shown = _all(ours)
        assert pull.stdout is not None
        out = pull.stdout.read().decode()
    assert (pull.returncode, out) == (0, f"{ref} pulled\n"), shown
    for word in (f"{ref} fetch", "━", "kB"):
        assert word in shown, shown[-2000:]


def _all(terminal: int) -> str:
    """What was written to a terminal until nobody had it open."""
    read = b""
    try:
        while piece := os.read(terminal, 65536):
            read += piece
    except OSError:  # how Linux says it
        pass
    finally:
        os.close(terminal)
    return read.decode(errors="replace")


def test_another_client_sees_how_far_a_pull_is(clean: Node, registry: FakeRegistry) -> None:
    ref = put(registry, "tools/watched", size=20_000)
    registry.faults.drip = 0.005
    told: list[PullProgress] = []

    async def story() -> None:
        async with (
            Agent.connect(clean.socket) as one,
            Agent.connect(clean.socket) as other,
            asyncio.TaskGroup() as group,
            aclosing(other.watch(pulls=True)) as events,
        ):
            async for event in events:
                if event.type is WatchType.SYNCED:
                    group.create_task(one.pull(ref))
                if event.progress is not None:
                    told.append(event.progress)
                    if event.progress.phase is PullPhase.DONE:
                        return

    asyncio.run(asyncio.wait_for(story(), 60))
    assert {progress.reference for progress in told} == {ref}
    done = [progress.done for progress in told if progress.phase is PullPhase.FETCH]
    assert len(done) >= 3
    assert done == sorted(done)
    assert 0 < done[len(done) // 2] < 20_000
    totals = {progress.total for progress in told if progress.phase is PullPhase.FETCH}
    assert max(totals) > 20_000


def test_what_is_not_there_yet_runs_once_it_is_and_restart_tries_at_once(clean: Node, registry: FakeRegistry) -> None:
    ref = f"{registry.address}/tools/late:v1"
    assert clean.cli("load", "wasm", ref, ok=False).returncode == 1
    said = clean.cli("restart", "late", ok=False)
    assert (said.returncode, f"late failed: {ref}" in said.stderr) == (1, True), said.stderr
    assert "at once by conductor restart late" in clean.json("get", "late")["message"]
    put(registry, "tools/late")
    clean.cli("restart", "late")
    assert clean.running("late")
    clean.cli("unload", "late")


def test_a_pull_that_fails_says_why_and_who_asked_may_go_on(clean: Node, registry: FakeRegistry) -> None:
    async def story(agent: Agent) -> None:
        with pytest.raises(ConductorError, match="tools/none"):
            await agent.pull(f"{registry.address}/tools/none:v1")

    clean.ask(story)
    assert clean.cli("pull", put(registry, "tools/there")).returncode == 0
