"""Kubeconfigs and pods: what is understood, and in what words the rest is refused."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from conductor.errors import InvalidConfig
from conductor.kube.access import Access, Pem


def written(folder: Path, *, user: dict[str, Any], cluster: dict[str, Any] | None = None, **extra: Any) -> Path:
    content = {
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u", "namespace": "tools"}}],
        "clusters": [{"name": "k", "cluster": {"server": "https://k:6443/", **(cluster or {})}}],
        "users": [{"name": "u", "user": user}],
        **extra,
    }
    path = folder / "kubeconfig"
    path.write_text(json.dumps(content))
    return path


def test_a_kubeconfig_of_files_beside_it(tmp_path: Path) -> None:
    user = {"tokenFile": "token", "client-certificate": "/pki/c.crt", "client-key": "c.key"}
    found = Access.of_kubeconfig(written(tmp_path, user=user, cluster={"certificate-authority": "ca.crt"}))
    assert found == Access(
        server="https://k:6443",
        authority=Pem(path=tmp_path / "ca.crt"),
        certificate=Pem(path=Path("/pki/c.crt")),
        key=Pem(path=tmp_path / "c.key"),
        token_file=tmp_path / "token",
        namespace="tools",
    )


def test_a_kubeconfig_of_bytes(tmp_path: Path) -> None:
    data = base64.b64encode(b"pem").decode()
    user = {"token": "secret", "client-key-data": data}
    cluster = {"certificate-authority-data": data, "tls-server-name": "k.local", "proxy-url": "http://p:1"}
    found = Access.of_kubeconfig(written(tmp_path, user=user, cluster=cluster))
    assert (found.authority, found.key, found.token) == (Pem(content=b"pem"), Pem(content=b"pem"), "secret")
    assert (found.server_name, found.proxy, found.verified) == ("k.local", "http://p:1", True)
    assert "secret" not in repr(found)
    assert "pem" not in repr(found)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"user": {"exec": {"command": "aws"}}}, "exec, and the agent starts no other programs"),
        ({"user": {"auth-provider": {"name": "gcp"}}}, "auth-provider, and the agent"),
        ({"user": {"username": "u", "password": "p"}}, "password"),
        ({"user": {}, "current-context": "other"}, "no context named 'other'"),
        ({"user": {}, "cluster": {"server": "k"}}, "no https:// address"),
        ({"user": {"client-key-data": "%%%"}}, "client-key-data is no base64"),
        ({"user": {}, "users": 3}, "is no kubeconfig"),
        ({"user": {}, "users": [{"user": "x"}]}, "is no kubeconfig"),
    ],
)
def test_what_cannot_be_used_is_said(tmp_path: Path, options: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidConfig, match=told) as refused:
        Access.of_kubeconfig(written(tmp_path, **options))
    assert refused.value.problems[0][0] == "kubeconfig"


@pytest.mark.parametrize("text", ["", "[]", "token: {secret", "3", "\x00"])
def test_what_is_no_kubeconfig_is_not_quoted(tmp_path: Path, text: str) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(text)
    with pytest.raises(InvalidConfig, match="is no kubeconfig") as refused:
        Access.of_kubeconfig(path)
    assert "secret" not in str(refused.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfig, match="No such file"):
        Access.found(tmp_path / "none")


@pytest.mark.parametrize(
    ("host", "server"), [("10.0.0.1", "https://10.0.0.1:443"), ("fd00::1", "https://[fd00::1]:443")]
)
def test_a_pod_uses_what_it_was_given(tmp_path: Path, host: str, server: str) -> None:
    (tmp_path / "token").write_text("t")
    (tmp_path / "namespace").write_text("tools")
    found = Access.of_pod(tmp_path, environ={"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": "443"})
    assert found == Access(
        server=server, authority=Pem(path=tmp_path / "ca.crt"), token_file=tmp_path / "token", namespace="tools"
    )


def test_outside_a_pod_a_kubeconfig_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfig, match="go on without a cluster"):
        Access.of_pod(tmp_path, environ={})


def test_neither_models_nor_urllib3_are_imported() -> None:
    code = (
        "import sys\nfrom conductor.kube.library import rest\nrest().RESTClientObject\n"
        "print([name for name in sys.modules if name.startswith(('kubernetes_asyncio.client.models', 'urllib3'))])\n"
        "import kubernetes_asyncio.client.exceptions\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (run.stdout.strip(), run.returncode) == ("[]", 0), run.stderr


def test_a_whole_import_of_before_is_left_as_it_is() -> None:
    code = (
        "import sys, types\nwhole = types.ModuleType('kubernetes_asyncio')\n"
        "import importlib.util\nwhole.__path__ = list(importlib.util.find_spec('kubernetes_asyncio').submodule_search_locations)\n"
        "sys.modules['kubernetes_asyncio'] = whole\nfrom conductor.kube.library import rest\nrest()\n"
        "print(sys.modules['kubernetes_asyncio'] is whole)\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert run.stdout.strip() == "True", run.stderr
