"""Images from the command line: built the same every time, pushed to a registry, looked at, signed; those of a node."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    PublicFormat,
)

from conductor.builtin import object_path
from tests.cli.conftest import Conduct, Served
from tests.fakes.registry_thread import served_registry

MODULE = b"\0asm\1\0\0\0"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "ebpfconductor" / "images"


@pytest.fixture
def module(tmp_path: Path) -> Path:
    path = tmp_path / "counter.wasm"
    path.write_bytes(MODULE)
    return path


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Path, Path]:
    """A private key with a password and its public half."""
    private = ec.generate_private_key(ec.SECP256R1())
    sealed = BestAvailableEncryption(b"open sesame")
    (tmp_path / "k.pem").write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, sealed))
    public = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "k.pub").write_bytes(public)
    return tmp_path / "k.pem", tmp_path / "k.pub"


def test_the_same_files_give_the_same_digest(conduct: Conduct, module: Path) -> None:
    said = [
        conduct("image", "build", "wasm", module, f"registry.example/{name}:v1", "-o", "json") for name in ("a", "b")
    ]
    first, second = (json.loads(one.out) for one in said)
    assert first["digest"] == second["digest"]
    assert (first["reference"], first["kind"]) == ("registry.example/a:v1", "Wasm")


def test_what_was_built_is_an_oci_layout(conduct: Conduct, module: Path, cache: Path) -> None:
    for tag in ("v1", "v2", "v1"):
        assert conduct("image", "build", "wasm", module, f"registry.example/a:{tag}").code == 0
    index = json.loads((cache / "index.json").read_text())
    refs = [one["annotations"]["org.opencontainers.image.ref.name"] for one in index["manifests"]]
    assert sorted(refs) == ["registry.example/a:v1", "registry.example/a:v2"]
    digest = index["manifests"][0]["digest"].removeprefix("sha256:")
    manifest = json.loads((cache / "blobs" / "sha256" / digest).read_text())
    layer = manifest["layers"][0]["digest"].removeprefix("sha256:")
    assert (cache / "blobs" / "sha256" / layer).read_bytes() == MODULE


def test_bytecode_goes_from_file_to_registry_and_back_to_sight(conduct: Conduct) -> None:
    with served_registry() as registry:
        ref = f"{registry.address}/tools/map:v1"
        built = conduct("image", "build", "bytecode", object_path("service_map"), ref, "-o", "json")
        pushed = conduct("image", "push", ref)
        assert pushed.out == f"{ref}@{json.loads(built.out)['digest']}\n"
        seen = json.loads(conduct("image", "inspect", ref, "-o", "json").out)
    assert (seen["kind"], seen["problem"], seen["signatures"]) == ("Bytecode", "", 0)
    assert seen["programs"]["sock_state"] == "tracepoint"
    assert seen["maps"]["pairs"] == "hash"


def test_several_platforms_make_an_index(conduct: Conduct) -> None:
    path = object_path("service_map")
    with served_registry() as registry:
        ref = f"{registry.address}/tools/map:v1"
        assert conduct("image", "build", "bytecode", f"linux/amd64={path}", f"linux/arm64={path}", ref).code == 0
        assert conduct("image", "push", ref, "--to", f"{registry.address}/tools/other:v2").code == 0
        seen = json.loads(conduct("image", "inspect", f"{registry.address}/tools/other:v2", "-o", "json").out)
    assert seen["platforms"] == ["linux/amd64", "linux/arm64"]


def test_a_password_comes_from_standard_input_and_is_shown_nowhere(conduct: Conduct, module: Path) -> None:
    with served_registry(users={"me": "s3cret-word"}) as registry:
        ref = f"{registry.address}/tools/a:v1"
        conduct("image", "build", "wasm", module, ref)
        refused = conduct("image", "push", ref)
        assert refused.code == 1
        pushed = conduct("image", "push", ref, "--username", "me", "--password-stdin", stdin="s3cret-word\n")
        assert pushed.code == 0
    assert "s3cret-word" not in refused.out + refused.err + pushed.out + pushed.err


@pytest.mark.parametrize(
    ("variable", "place"),
    [
        ("HOME", ".docker/config.json"),
        ("HOME", ".config/containers/auth.json"),
        ("DOCKER_CONFIG", "config.json"),
        ("XDG_RUNTIME_DIR", "containers/auth.json"),
        ("REGISTRY_AUTH_FILE", ""),
    ],
)
def test_who_is_logged_in_by_docker_or_podman_needs_no_password(
    conduct: Conduct, module: Path, monkeypatch: pytest.MonkeyPatch, variable: str, place: str
) -> None:
    tmp_path = module.parent
    for name in ("DOCKER_CONFIG", "XDG_RUNTIME_DIR", "REGISTRY_AUTH_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "nobody"))
    monkeypatch.setenv(variable, str(tmp_path / "login"))
    with served_registry(users={"me": "s3cret-word"}) as registry:
        ref = f"{registry.address}/tools/a:v1"
        conduct("image", "build", "wasm", module, ref)
        assert conduct("image", "push", ref).code == 1
        path = tmp_path / "login" / place
        path.parent.mkdir(parents=True, exist_ok=True)
        auth = base64.b64encode(b"me:s3cret-word").decode()
        path.write_text(json.dumps({"auths": {registry.address: {"auth": auth}}}))
        assert conduct("image", "push", ref).code == 0


def test_a_signature_is_made_and_found(
    conduct: Conduct, module: Path, keys: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    private, public = keys
    with served_registry() as registry:
        ref = f"{registry.address}/tools/a:v1"
        conduct("image", "build", "wasm", module, ref)
        conduct("image", "push", ref)
        before = conduct("image", "verify", ref, "--key", public)
        assert (before.code, "no signature" in before.err) == (1, True)
        locked = conduct("image", "sign", ref, "--key", private)
        assert (locked.code, "password" in locked.err) == (1, True)
        monkeypatch.setenv("CONDUCTOR_SIGNING_PASSWORD", "open sesame")
        assert conduct("image", "sign", ref, "--key", private).code == 0
        after = conduct("image", "verify", ref, "--key", public, "-o", "json")
        assert json.loads(after.out)["by"] == "key k.pub"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("image", "build", "wasm", "{dir}/none.wasm", "registry.example/a:v1"), "none.wasm: No such file"),
        (("image", "build", "wasm", "{dir}/text", "registry.example/a:v1"), "no wasm module"),
        (("image", "build", "wasm", "{dir}/counter.wasm", "https://registry.example/a"), "has a scheme"),
        (("image", "build", "bytecode", "{dir}/counter.wasm", "registry.example/a"), "counter.wasm"),
        (("image", "build", "bytecode", "amd64={dir}/counter.wasm", "registry.example/a"), "is no platform"),
        (("image", "push", "registry.example/never:built"), "was not built on this machine"),
        (("image", "inspect", "127.0.0.1:1/x:1"), "cannot be reached"),
        (("image", "verify", "127.0.0.1:1/x:1"), "give a public key"),
    ],
)
def test_what_goes_wrong_is_one_sentence(conduct: Conduct, module: Path, words: tuple[str, ...], sentence: str) -> None:
    (module.parent / "text").write_text("hello")
    said = conduct(*(word.format(dir=module.parent) for word in words))
    assert said.code in (1, 2)
    assert sentence in said.err
    assert said.out == ""


def test_a_nodes_images_are_listed_and_pruned(conduct: Conduct, served: Served) -> None:
    served.do(lambda house: house.images.push("registry.example/x:1", MODULE))
    at = ("--agent-socket", served.socket)
    assert conduct("pull", "registry.example/x:1", *at).code == 0
    listed = json.loads(conduct("image", "list", "-o", "json", *at).out)["items"]
    assert [(one["reference"], one["inUse"], one["verdict"]) for one in listed] == [
        ("registry.example/x:1", False, "no policy")
    ]
    pruned = conduct("image", "prune", *at)
    assert (pruned.code, "1 removed" in pruned.err) == (0, True)
    assert "no image is here" in conduct("image", "list", *at).err
