"""Both halves of a program from a registry behind TLS and a password: pulled, pinned, run, and run again without it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.oci.registry.houses import SEALED_SITES
from tests.oci.registry.site import Site, manifest

pytestmark = [pytest.mark.registry, pytest.mark.kernel, pytest.mark.slow, pytest.mark.timeout(180)]


@SEALED_SITES
def test_both_halves_are_pulled_and_count(site: Site) -> None:
    kernel, user = site.push_halves()
    site.start()
    site.apply(manifest(site))
    assert site.wait_for_calls(site.wait_for_calls()) > 0
    found = site.counter()
    assert (found["state"], found["digest"]) == ("Running", user)
    assert {one["digest"] for one in site.node.json("list")["items"]} == {user}
    assert {digest: (one["kind"], one["inUse"]) for digest, one in site.images().items()} == {
        kernel: ("Bytecode", True),
        user: ("Wasm", True),
    }
    status = Path(f"/proc/{site.node.pid('agent')}/status").read_text()
    assert "\nUid:\t65532\t65532\t65532\t65532\n" in status
    assert "\nCapEff:\t0000000000000000\n" in status


def test_without_the_registry_a_killed_agent_runs_what_was_pinned(site: Site) -> None:
    digests = set(site.push_halves())
    site.start()
    site.apply(manifest(site, policy="Always"))
    before = site.wait_for_calls()
    site.registry.close()
    site.node.kill("agent")
    site.node.wait_ready()
    site.node.wait_for(lambda: site.node.running("counter"), "running again")
    assert site.wait_for_calls(before) > before
    assert site.counter()["digest"] in digests
    site.node.stop()
    site.start()
    site.node.wait_for(lambda: site.node.running("counter"), "running after a stop")
    assert set(site.images()) == digests
    assert site.wait_for_calls() > 0


def test_a_password_comes_with_the_call_and_stays_nowhere(site: Site) -> None:
    """No file says who we are: the name and the password are those of one command."""
    user = site.push("tools/counter:v1")
    site.registries.write_text(site.registries.read_text().partition("\n")[2])
    site.start()
    refused = site.node.cli("load", "wasm", site.ref("tools/counter:v1"), "--map", "counts=syscalls", ok=False)
    assert refused.returncode == 1
    assert "RegistryRefused" in refused.stdout + refused.stderr
    site.node.cli("unload", "counter")
    who = ("--username", "bob", "--password-stdin")
    words = ("load", "wasm", site.ref("tools/counter:v1"), "--map", "counts=syscalls", *who, "-o", "json")
    loaded = site.node.cli(*words, stdin="hunter2\n")
    assert user in loaded.stdout
    site.node.cli("pull", site.ref("tools/counter:v1"), *who, stdin="hunter2\n")
    wrong = site.node.cli("pull", site.ref("tools/counter:v1"), *who, ok=False, stdin="hunter3\n")
    assert wrong.returncode == 1
    told = refused.stderr + wrong.stderr + loaded.stdout + loaded.stderr + site.node.get("/metrics") + site.node.log
    places = (site.node.root / "state", site.node.root / "cache")
    kept = [path.read_bytes() for place in places for path in place.rglob("*") if path.is_file()]
    assert len(kept) > 3
    for word in ("hunter2", "hunter3", "Ym9iOmh1bnRlcj"):  # the last is base64 of bob:hunter
        assert word not in told
        assert not any(word.encode() in content for content in kept)


def test_what_nobody_names_is_pruned(site: Site) -> None:
    kernel, user = site.push_halves()
    site.start()
    site.apply(manifest(site))
    site.wait_for_calls()
    assert site.node.json("image", "prune")["items"] == []
    site.node.cli("delete", "-f", "-", stdin=manifest(site))
    pruned = {one["digest"] for one in site.node.json("image", "prune")["items"]}
    assert (pruned, site.images()) == ({kernel, user}, {})
    assert list((site.node.root / "cache/agent/images/store/blobs/sha256").iterdir()) == []
