"""Both halves from a registry, signed as the policy wants, before a real bpfman: it is handed a file, and asks nobody."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from conductor.bpfman.flavour import Flavour
from tests.e2e.node import CONDUCTOR, told
from tests.fakes.registry_thread import served_registry
from tests.oci.registry.site import MANIFEST, METRIC, built
from tests.real_bpfman.bed import started
from tests.real_bpfman.node import beside

pytestmark = [pytest.mark.kernel, pytest.mark.slow, pytest.mark.bpfman, pytest.mark.timeout(120)]
GROUP = 64321


def keys(folder: Path) -> Path:
    """A key pair, and a policy that wants it; answers the private key."""
    private = ec.generate_private_key(ec.SECP256R1())
    public = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (folder / "ours.pub").write_bytes(public)
    (folder / "policy.yaml").write_text("default: {anyOf: [{key: ours.pub}]}")
    path = folder / "signing.key"
    path.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return path


@pytest.mark.parametrize("flavour", [Flavour.RUST], ids=["rust"])
def test_what_is_signed_is_handed_over_as_a_file(flavour: Flavour, tmp_path: Path) -> None:
    halves = built(tmp_path / "syscall_counter")
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")}

    def image(*words: str) -> None:
        command = [*CONDUCTOR, "image", *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=60)
        assert done.returncode == 0, done.stderr

    with served_registry() as registry, started(flavour, group=GROUP) as daemon, beside(daemon) as node:
        etc = node.root / "etc"
        etc.mkdir()
        key = keys(etc)
        refs = {kind: f"{registry.address}/tools/{kind}:v1" for kind in ("bytecode", "wasm")}
        for kind, file in (("bytecode", halves.object), ("wasm", halves.module)):
            image("build", kind, str(file), refs[kind])
            image("push", refs[kind])
        node.begin("--groups", str(GROUP), "--image-policy", str(etc / "policy.yaml"))
        text = MANIFEST % (refs["bytecode"], "IfNotPresent", refs["wasm"], "IfNotPresent", "0.2")
        node.cli("apply", "-f", "-", stdin=text)
        node.wait_for(lambda: [one["reason"] for one in node.kernel()] == ["ImageUntrusted"], "refused")
        assert node.functions() == []
        for ref in refs.values():
            image("sign", "--key", str(key), ref)
        node.cli("apply", "-f", "-", stdin=text)
        node.wait_for(lambda: node.running("counter"), "running")
        node.wait_for(lambda: told(node.series("?program=counter"), METRIC, program="counter") > 0, "told")
        assert node.agrees()
        assert {one["verdict"] for one in node.json("image", "list")["items"]} == {"key ours.pub"}
        node.cli("delete", "-f", "-", stdin=text)
