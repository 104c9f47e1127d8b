"""Tags that move under a running program: what keeps its digest, what takes the new one, and what goes back."""

from __future__ import annotations

import pytest

from tests.oci.image_parts import COMPONENT
from tests.oci.registry.site import Site, manifest, tool

pytestmark = [pytest.mark.registry, pytest.mark.kernel, pytest.mark.slow, pytest.mark.timeout(180)]


def started(site: Site, *options: str) -> str:
    """Both halves run; answers the module's digest."""
    _, user = site.push_halves()
    site.start(*options)
    site.apply(manifest(site))
    site.wait_for_calls()
    return user


def moved(site: Site) -> str:
    """The tag names another build; answers its digest."""
    return site.push("tools/counter:v1", site.halves.version(site.etc, "second"))


def test_a_moved_tag_is_told_and_not_followed(site: Site) -> None:
    old = started(site)
    new = moved(site)
    said = site.node.cli("update", "counter", "--config", "interval=0.3", "-o", "json")
    sentence = f"tag v1 moved: it names {new} now, and {old} is kept"
    assert sentence in said.stderr
    assert sentence in site.node.cli("logs", "counter").stdout
    found = site.counter()
    assert (found["digest"], found["config"], found["state"]) == (old, {"interval": 0.3}, "Running")


def test_always_takes_the_new_one_and_counters_go_on(site: Site) -> None:
    old = started(site)
    before, new = site.calls(), moved(site)
    site.node.cli("update", "counter", "--pull-policy", "Always")
    assert site.counter()["digest"] == new
    assert site.calls() >= before
    assert site.wait_for_calls(before) > before
    assert site.images()[old]["inUse"] is False


def test_a_changed_manifest_that_says_always_takes_the_new_one_too(site: Site) -> None:
    old = started(site)
    new = moved(site)
    site.apply(manifest(site))
    assert site.counter()["digest"] == old
    site.apply(manifest(site, policy="Always"))
    site.node.wait_for(lambda: site.counter()["digest"] == new, "the new one")
    site.node.wait_for(lambda: site.node.running("counter"), "running")


def test_a_kernel_program_follows_its_manifest_to_another_tag(site: Site) -> None:
    started(site)
    site.push("tools/syscalls:v2", site.halves.object)
    site.push("tools/counter:v2")
    before = site.calls()
    site.apply(manifest(site, tag="v2"))
    site.node.wait_for(lambda: site.node.running("counter"), "running")
    assert site.wait_for_calls(before) > before


@pytest.mark.parametrize("change", ["a component", "nothing there", "the registry away"])
def test_what_cannot_run_is_taken_back(site: Site, change: str) -> None:
    old = started(site)
    if change == "a component":
        path = site.etc / "component.wasm"
        path.write_bytes(COMPONENT)
        tool(
            *(
                "oras",
                "push",
                "--ca-file",
                str(site.etc / "ca.pem"),
                "--registry-config",
                str(site.etc / "config.json"),
            ),
            *("--disable-path-validation", site.ref("tools/counter:v2"), f"{path}:application/wasm"),
        )
    if change == "the registry away":
        site.registry.close()
    done = site.node.cli("update", "counter", "--wasm", site.ref("tools/counter:v2"), ok=False)
    words = {"a component": "component", "nothing there": "tools/counter:v2", "the registry away": "cannot be reached"}
    assert (done.returncode, words[change] in done.stderr) == (1, True), done.stderr
    found = site.counter()
    assert (found["state"], found["digest"]) == ("Running", old)
    before = site.calls()
    assert site.wait_for_calls(before) > before
