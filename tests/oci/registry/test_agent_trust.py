"""An agent with an image policy: what nobody signed waits and says so, and runs once it is signed; by us or by cosign."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from tests.e2e.node import programs_of
from tests.oci.registry.site import Site, manifest
from tests.oci.trust.cosign import Cosign

pytestmark = [pytest.mark.registry, pytest.mark.kernel, pytest.mark.slow, pytest.mark.timeout(180)]


@pytest.fixture
def key(site: Site) -> Path:
    """Our key; the policy wants it, or cosign's."""
    private = ec.generate_private_key(ec.SECP256R1())
    path = site.etc / "signing.key"
    path.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (site.etc / "ours.pub").write_bytes(public)
    wanted(site, "ours.pub")
    return path


def wanted(site: Site, *keys: str) -> None:
    """Write the policy: one of these keys must have signed."""
    listed = ", ".join(f"{{key: {name}}}" for name in keys)
    (site.etc / "policy.yaml").write_text(f"rules: [{{images: '{site.house.address}', anyOf: [{listed}]}}]")


def start(site: Site) -> None:
    site.start("--image-policy", str(site.etc / "policy.yaml"))


def sign(site: Site, key: Path, *names: str) -> None:
    for name in names:
        site.run("image", "sign", "--key", str(key), "--registries", str(site.registries), site.ref(name))


def refused(site: Site) -> bool:
    return bool(site.counter()["reason"] == "ImageUntrusted")


def test_what_is_not_signed_says_so_and_runs_by_itself_once_it_is(site: Site, key: Path) -> None:
    site.push_halves()
    start(site)
    site.apply(manifest(site))
    site.node.wait_for(lambda: refused(site), "refused")
    told = site.counter()
    assert told["state"] == "Failed"
    for word in (site.ref("tools/counter"), "by key ours.pub", "no signature", "conductor restart counter"):
        assert word in told["message"], told["message"]
    kernel = site.node.json("kernel", "get", "syscalls")
    assert (kernel["state"], kernel["reason"]) == ("Failed", "ImageUntrusted")
    assert site.images() == {}
    sign(site, key, "tools/syscalls:v1", "tools/counter:v1")
    assert site.wait_for_calls() > 0  # in at most 20 s: the second try, or the third
    assert {one["verdict"] for one in site.images().values()} == {"key ours.pub"}


def test_restart_and_apply_try_at_once(site: Site, key: Path) -> None:
    site.push_halves()
    start(site)
    site.apply(manifest(site))
    site.node.wait_for(lambda: refused(site), "refused")
    assert site.node.cli("restart", "counter", ok=False).returncode == 1
    sign(site, key, "tools/syscalls:v1", "tools/counter:v1")
    site.node.cli("restart", "counter")
    site.apply(manifest(site))
    site.node.wait_for(lambda: site.node.running("counter"), "running", 8)


def test_an_update_to_what_nobody_signed_is_taken_back(site: Site, key: Path) -> None:
    site.push_halves()
    sign(site, key, "tools/syscalls:v1", "tools/counter:v1")
    start(site)
    site.apply(manifest(site))
    site.wait_for_calls()
    old = site.counter()["digest"]
    site.push("tools/counter:v2", site.halves.version(site.etc, "second"))
    done = site.node.cli("update", "counter", "--wasm", site.ref("tools/counter:v2"), ok=False)
    assert (done.returncode, "no signature" in done.stderr) == (1, True), done.stderr
    assert (site.counter()["state"], site.counter()["digest"]) == ("Running", old)
    sign(site, key, "tools/counter:v2")
    site.node.cli("update", "counter", "--wasm", site.ref("tools/counter:v2"))
    assert site.counter()["digest"] != old


@pytest.mark.usefixtures("key")
def test_a_manifest_with_what_nobody_signed_leaves_both_old_halves_running(site: Site, key: Path) -> None:
    site.push_halves()
    sign(site, key, "tools/syscalls:v1", "tools/counter:v1")
    start(site)
    site.apply(manifest(site))
    site.wait_for_calls()
    held = [program["id"] for program in programs_of(site.node)]
    site.push("tools/syscalls:v2", other(site))
    site.push("tools/counter:v2", site.halves.version(site.etc, "second"))
    site.apply(manifest(site, tag="v2"))
    site.node.wait_for(lambda: site.counter()["reason"] == "UpdateFailed", "told")
    site.node.wait_for(lambda: "no signature" in site.node.json("kernel", "get", "syscalls")["message"], "told")
    before = site.calls()
    assert site.wait_for_calls(before) > before
    assert [program["id"] for program in programs_of(site.node)] == held
    site.node.kill("agent")
    site.node.wait_ready()
    assert [program["id"] for program in programs_of(site.node)] == held
    sign(site, key, "tools/syscalls:v2", "tools/counter:v2")
    site.apply(manifest(site, tag="v2"))
    site.node.wait_for(lambda: site.counter()["state"] == "Running" and not site.counter()["reason"], "the new one", 60)
    site.node.wait_for(lambda: held != [program["id"] for program in programs_of(site.node)], "the new one")


def other(site: Site) -> Path:
    """The object with a few bytes behind its end, which nobody reads: another digest."""
    path = site.etc / "syscalls-second.o"
    path.write_bytes(site.halves.object.read_bytes() + bytes(8))
    return path


@pytest.mark.usefixtures("key")
def test_a_stricter_policy_stops_no_restart_but_the_next_update(site: Site) -> None:
    site.push_halves()
    site.start()
    site.apply(manifest(site))
    site.wait_for_calls()
    site.node.stop()
    start(site)
    site.wait_for_calls()
    done = site.node.cli("update", "counter", "--config", "interval=0.3", ok=False)
    assert (done.returncode, "no signature" in done.stderr) == (1, True), done.stderr
    assert site.counter()["state"] == "Running"


@pytest.mark.usefixtures("key")
def test_what_cosign_signed_is_trusted(site: Site) -> None:
    digests = site.push_halves()
    cosign = Cosign(Path(os.environ["CONDUCTOR_COSIGN"]), site.etc)
    cosign.does("generate-key-pair")
    (site.etc / ".docker").mkdir()
    (site.etc / ".docker/config.json").write_bytes((site.etc / "config.json").read_bytes())
    for name, digest in zip(("syscalls", "counter"), digests, strict=True):
        cosign.sign(f"{site.ref('tools')}/{name}@{digest}", "--registry-cacert", str(site.etc / "ca.pem"))
    wanted(site, "cosign.pub")
    start(site)
    site.apply(manifest(site))
    site.wait_for_calls()
    assert {one["verdict"] for one in site.images().values()} == {"key cosign.pub"}
