from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path
from typing import Any

import pytest

from conductor.errors import InvalidSpec, RegistryRefused
from conductor.model.image import Credentials
from conductor.oci.credential_helpers import ask_helper
from conductor.oci.docker_config import DockerConfig

BOB = Credentials("bob", "hunter2")
AUTH = base64.b64encode(b"bob:hunter2").decode()


def parsed(document: Any) -> DockerConfig:
    return DockerConfig.parse(json.dumps(document).encode(), where="config.json")


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("ghcr.io", "ghcr.io/a/b"),
        ("https://ghcr.io", "ghcr.io/a/b"),
        ("https://ghcr.io/v2/", "ghcr.io/a/b"),
        ("https://index.docker.io/v1/", "docker.io/library/nginx"),
        ("docker.io", "docker.io/library/nginx"),
        ("registry.example:5000", "registry.example:5000/x"),
        ("registry.example/team", "registry.example/team/x"),
        ("*.example", "registry.example/x"),
        ("*.example:5000", "registry.example:5000/x"),
    ],
)
def test_credentials_are_found_however_tools_write_the_registry(key: str, name: str) -> None:
    assert parsed({"auths": {key: {"auth": AUTH}}}).find(name) == BOB


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("ghcr.io", "ghcr.io.evil.example/a"),
        ("ghcr.io", "xghcr.io/a"),
        ("registry.example", "registry.example:5000/x"),
        ("registry.example/team", "registry.example/teams/x"),
        ("*.example", "a.b.example/x"),
        ("*", "ghcr.io/x"),
    ],
)
def test_credentials_are_shown_to_nobody_else(key: str, name: str) -> None:
    assert parsed({"auths": {key: {"auth": AUTH}}}).find(name) is None


def test_the_longest_path_wins() -> None:
    auths = {
        "r.example": {"username": "wide", "password": "1"},
        "r.example/a/b": {"username": "near", "password": "2"},
        "r.example/a": {"username": "middle", "password": "3"},
    }
    config = parsed({"auths": auths})
    found = [config.find(name) for name in ("r.example/x", "r.example/a/x", "r.example/a/b/x")]
    assert [credentials.username for credentials in found if credentials] == ["wide", "middle", "near"]


def test_an_identity_token_stands_before_a_password() -> None:
    found = parsed({"auths": {"r.example": {"auth": AUTH, "identitytoken": "t0ken"}}}).find("r.example/x")
    assert found == Credentials("<token>", "t0ken")


def test_helpers_are_known_by_host_and_a_store_for_the_rest() -> None:
    config = parsed({"credHelpers": {"gcr.io": "gcloud"}, "credsStore": "pass"})
    assert [config.helper(name) for name in ("gcr.io/a", "ghcr.io/a")] == ["gcloud", "pass"]


def test_pull_secrets_of_both_ages_are_read_and_run_nothing() -> None:
    auths = {"ghcr.io": {"auth": AUTH}}
    new = {"auths": auths, "credHelpers": {"ghcr.io": "evil"}, "credsStore": "evil"}
    for data in ({".dockerconfigjson": new}, {".dockercfg": auths}):
        secret = {key: json.dumps(value).encode() for key, value in data.items()}
        config = DockerConfig.pull_secret(secret, where="pullSecret regcred")
        assert config.find("ghcr.io/a/b") == BOB
        assert config.helper("ghcr.io/a/b") == ""
    with pytest.raises(InvalidSpec, match="regcred"):
        DockerConfig.pull_secret({"password": b"hunter2"}, where="pullSecret regcred")


@pytest.mark.parametrize(
    "document",
    [
        [],
        "hunter2",
        {"auths": ["hunter2"]},
        {"auths": {"r.example": "hunter2"}},
        {"auths": {"r.example": {"auth": "hunter2"}}},
        {"auths": {"r.example": {"auth": base64.b64encode(b"hunter2").decode()}}},
        {"auths": {"r.example": {"username": "bob", "password": ["hunter2"]}}},
        {"credsStore": "../../hunter2"},
        {"credHelpers": {"r.example": "a/hunter2"}},
        {"credHelpers": {"r.example": 7}},
    ],
)
def test_a_bad_file_is_told_without_what_is_in_it(document: Any) -> None:
    with pytest.raises(InvalidSpec) as caught:
        parsed(document)
    assert caught.value.field == "config.json"
    assert "hunter2" not in str(caught.value)


def test_nothing_of_a_config_is_shown() -> None:
    assert "hunter2" not in repr(parsed({"auths": {"ghcr.io": {"auth": AUTH}}}))


@pytest.fixture
def helper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Install a helper named `test` whose body is a shell script."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    def install(script: str) -> None:
        program = tmp_path / "docker-credential-test"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)

    return install


def test_a_helper_is_asked_for_the_host(helper: Any, tmp_path: Path) -> None:
    helper(f"""echo "$1" > {tmp_path}/asked; cat >> {tmp_path}/asked; echo '{{"Username":"bob","Secret":"hunter2"}}'""")
    assert asyncio.run(ask_helper("test", "ghcr.io")) == BOB
    assert (tmp_path / "asked").read_text() == "get\nghcr.io\n"
    assert asyncio.run(ask_helper("test", "docker.io")) == BOB
    assert (tmp_path / "asked").read_text() == "get\nhttps://index.docker.io/v1/\n"


def test_a_helper_may_know_nothing(helper: Any) -> None:
    helper("echo 'credentials not found in native keychain'; exit 1")
    assert asyncio.run(ask_helper("test", "ghcr.io")) is None


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("echo hunter2; echo hunter2 >&2; exit 3", "status 3"),
        ("echo hunter2", "no JSON"),
        ("""echo '{"Username":7}'""", "without Username"),
        ("exec cat /dev/zero", "more than"),
        ("exec sleep 60", "no answer within"),
        ("exit 0", "no JSON"),
    ],
)
def test_a_helper_that_fails_is_told_without_its_words(helper: Any, script: str, why: str) -> None:
    helper(script)
    with pytest.raises(RegistryRefused, match=why) as caught:
        asyncio.run(ask_helper("test", "ghcr.io", seconds=1))
    assert "docker-credential-test" in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_a_helper_that_is_missing_is_told_by_its_name() -> None:
    with pytest.raises(RegistryRefused, match="docker-credential-nowhere is not installed"):
        asyncio.run(ask_helper("nowhere", "ghcr.io"))
