from __future__ import annotations

from pathlib import Path

import pytest

from conductor.errors import InvalidConfig
from conductor.model.image import Reference
from conductor.oci.registries import RegistriesConfig, is_loopback
from tests.oci.asking import config

DIGEST = f"sha256:{'ab' * 32}"


def asked(text: str, written: str, *, direct: bool = False) -> list[str]:
    return [endpoint.root for endpoint in config(text).endpoints(Reference.parse(written), direct=direct)]


def test_without_a_file_the_registry_itself_is_asked() -> None:
    assert asked("", "ghcr.io/a/b:v1") == ["https://ghcr.io/v2/a/b"]
    assert asked("", "nginx") == ["https://registry-1.docker.io/v2/library/nginx"]
    assert asked("", "localhost:5000/a") == ["http://localhost:5000/v2/a"]


def test_mirrors_stand_before_it_in_their_order() -> None:
    text = '[registry."ghcr.io"]\nmirrors = ["one.example", "two.example:5000/cache"]\n'
    assert asked(text, "ghcr.io/a/b") == [
        "https://one.example/v2/a/b",
        "https://two.example:5000/v2/cache/a/b",
        "https://ghcr.io/v2/a/b",
    ]
    assert asked(text, "ghcr.io/a/b", direct=True) == ["https://ghcr.io/v2/a/b"]
    assert asked(text, "quay.io/a/b") == ["https://quay.io/v2/a/b"]


def test_the_most_particular_prefix_decides_and_is_replaced_whole() -> None:
    text = """
        [registry."ghcr.io"]
        mirrors = ["wide.example"]
        [registry."ghcr.io/team"]
        mirrors = ["near.example/ours"]
        [registry."ghcr.io/team/secret"]
        mirrors = []
    """
    assert asked(text, "ghcr.io/team/a")[0] == "https://near.example/v2/ours/a"
    assert asked(text, "ghcr.io/teams/a")[0] == "https://wide.example/v2/teams/a"
    assert asked(text, "ghcr.io/team/secret/a") == ["https://ghcr.io/v2/team/secret/a"]


def test_tags_may_be_left_to_upstream_alone() -> None:
    text = '[registry."ghcr.io"]\nmirrors = ["one.example"]\nmirror_tags = false\n'
    assert asked(text, "ghcr.io/a/b:v1") == ["https://ghcr.io/v2/a/b"]
    assert asked(text, f"ghcr.io/a/b:v1@{DIGEST}")[0] == "https://one.example/v2/a/b"


def test_plain_http_is_for_this_machine_and_for_hosts_that_are_named() -> None:
    text = """
        [registry."plain.example:5000"]
        plain_http = true
        [registry."localhost:6000"]
        ca = "/etc/ca.pem"
        [registry."localhost:7000"]
        plain_http = false
    """
    settings = config(text)
    hosts = ("plain.example:5000", "plain.example", "localhost:6000", "localhost:7000", "127.0.0.1:1", "[::1]:5")
    assert [settings.allows_plain(host) for host in hosts] == [True, False, False, False, True, True]
    assert not is_loopback("localhost.example")
    assert not is_loopback("127.0.0.1.example:80")


def test_credentials_are_looked_up_by_the_longest_prefix() -> None:
    text = """
        auth = "/all.json"
        [registry."ghcr.io/team"]
        auth = "/team.json"
        [registry."docker.io"]
        auth = "/hub.json"
    """
    settings = config(text)

    def file_for(written: str) -> Path | None:
        return settings.auth_file(settings.endpoints(Reference.parse(written))[-1])

    assert file_for("ghcr.io/team/a") == Path("/team.json")
    assert file_for("ghcr.io/other/a") == Path("/all.json")
    assert file_for("nginx") == Path("/hub.json")


def test_proxies_come_from_the_environment_unless_a_host_has_its_own() -> None:
    environ = {
        "HTTPS_PROXY": "http://user:hunter2@proxy.example:3128",
        "http_proxy": "plain-proxy.example:8080",
        "NO_PROXY": "inner.example,.corp.example,10.0.0.0/8,exact.example:5000,*.stars.example",
    }
    text = """
        [registry."own.example"]
        proxy = "http://own-proxy.example:1"
        [registry."none.example"]
        proxy = ""
    """
    settings = config(text, environ)
    through = "http://user:hunter2@proxy.example:3128"
    expected = {
        "ghcr.io": through,
        "own.example": "http://own-proxy.example:1",
        "none.example": "",
        "inner.example:5000": "",
        "a.inner.example": "",
        "notinner.example": through,
        "a.corp.example": "",
        "10.1.2.3:5000": "",
        "11.1.2.3:5000": through,
        "exact.example:5000": "",
        "exact.example:5001": through,
        "a.stars.example": "",
        "localhost:5000": "",
        "[::1]:5000": "",
    }
    assert {host: settings.proxy(host, plain=False) for host in expected} == expected
    assert settings.proxy("ghcr.io", plain=True) == "http://plain-proxy.example:8080"
    assert "hunter2" not in repr(settings)


def test_every_bad_field_is_told_at_once() -> None:
    text = """
        colour = "red"
        auth = "relative.json"
        [registry."https://ghcr.io"]
        [registry."no-dot"]
        [registry."ghcr.io/team"]
        ca = "/ca.pem"
        [registry."quay.io"]
        mirrors = "one.example"
        plain_http = "yes"
        proxy = "ftp://user:hunter2@x"
        speed = 3
        [registry."quay.io/x"]
        mirrors = ["a b"]
    """
    with pytest.raises(InvalidConfig) as caught:
        config(text, {"HTTPS_PROXY": "http://:hunter2@"})
    assert [place.removeprefix("registries.toml: ") for place, _ in caught.value.problems] == [
        "colour",
        "auth",
        'registry."https://ghcr.io"',
        'registry."no-dot"',
        'registry."ghcr.io/team".ca',
        'registry."quay.io".mirrors',
        'registry."quay.io".plain_http',
        'registry."quay.io".proxy',
        'registry."quay.io".speed',
        'registry."quay.io/x".mirrors',
        "HTTPS_PROXY",
    ]
    assert "hunter2" not in str(caught.value)


def test_what_is_no_toml_is_told_with_its_file(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfig, match=r"registries\.toml"):
        config("[")
    with pytest.raises(InvalidConfig, match="cannot be read"):
        RegistriesConfig.read(tmp_path / "none.toml", environ={})
    assert RegistriesConfig.read(None, environ={}).entries == {}
