"""Pull secrets of a fake cluster."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from conductor.errors import ConductorError, PullSecretNotAllowed, PullSecretUnusable
from conductor.kube.requests import Request
from conductor.kube.secrets import KubeSecrets
from conductor.model.image import Credentials, Reference
from conductor.oci.docker_config import DockerConfig
from tests.fakes import virtual_time
from tests.fakes.cluster_connection import FakeServer

PATH = "/api/v1/namespaces/here/secrets"
IMAGE = Reference.parse("registry.example/team/tool:1", "url")


def asked(server: FakeServer, name: str = "regcred") -> Credentials | None:
    async def ask() -> Credentials | None:
        secrets = KubeSecrets(
            cluster=server.client("agent").cluster,
            namespace="here",
            parse=lambda data, where: DockerConfig.pull_secret(data, where=where),
        )
        return await secrets.credentials(name, IMAGE)

    return virtual_time.run(ask())


def holding(content: dict[str, Any]) -> FakeServer:
    server = FakeServer()
    data = {".dockerconfigjson": base64.b64encode(json.dumps(content).encode()).decode()}
    body = json.dumps({"metadata": {"name": "regcred"}, "data": data}).encode()
    server.api.answer("admin", Request(method="POST", path=PATH, body=body))
    return server


def test_it_says_who_we_are_at_the_images_registry_alone() -> None:
    login = {"username": "me", "password": "hunter2"}
    assert asked(holding({"auths": {"registry.example": login}})) == Credentials("me", "hunter2")
    assert asked(holding({"auths": {"other.example": login}})) is None


@pytest.mark.parametrize("content", [{"auths": {"registry.example": {"auth": "hunter2"}}}, {"auths": "none"}])
def test_one_that_cannot_be_read_is_said_so_without_its_content(content: dict[str, Any]) -> None:
    with pytest.raises(PullSecretUnusable) as refused:
        asked(holding(content))
    assert "hunter2" not in str(refused.value)


def test_one_that_is_not_there_or_not_permitted_has_a_sentence_each() -> None:
    server = FakeServer()
    with pytest.raises(PullSecretUnusable, match="here/regcred is not there"):
        asked(server)
    server.api.refuse = lambda _who, request: "secrets" in request.path
    with pytest.raises(PullSecretNotAllowed, match="chart's pullSecrets") as refused:
        asked(server)
    assert isinstance(refused.value, ConductorError)
    assert refused.value.reason == "PullSecretNotAllowed"
