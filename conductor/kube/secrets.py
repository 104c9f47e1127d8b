"""Pull secrets: read when an image is pulled, by name, and kept nowhere."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from typing import Protocol

from conductor.errors import ClusterRefused, InvalidSpec, PullSecretNotAllowed, PullSecretUnusable
from conductor.kube.cluster import Cluster
from conductor.model.cluster import Resource
from conductor.model.image import Credentials, Reference

__all__ = ["KubeSecrets", "Logins"]

SECRETS = Resource("", "v1", "secrets")


class Logins(Protocol):
    """Credentials by registry and repository, as a secret holds them."""

    def find(self, name: str) -> Credentials | None:
        """Answer those of a repository."""
        ...


class KubeSecrets:
    """Read pull secrets of one namespace (`ports.PullSecrets`); `parse` reads a secret's data."""

    def __init__(
        self, *, cluster: Cluster, namespace: str, parse: Callable[[Mapping[str, bytes], str], Logins]
    ) -> None:
        self._cluster, self._namespace, self._parse = cluster, namespace, parse

    async def credentials(self, name: str, reference: Reference) -> Credentials | None:
        """Answer what a secret says of the image's registry. Raises `PullSecretNotAllowed`, `PullSecretUnusable`."""
        where = f"pull secret {self._namespace}/{name}"
        try:
            secret = await self._cluster.get(SECRETS, name, namespace=self._namespace)
        except ClusterRefused:
            raise PullSecretNotAllowed(f"{where} may not be read: list it in the chart's pullSecrets") from None
        if secret is None:
            raise PullSecretUnusable(f"{where} is not there: make it by kubectl create secret docker-registry")
        try:
            data = {key: base64.b64decode(value, validate=True) for key, value in (secret.get("data") or {}).items()}
            return self._parse(data, where).find(reference.name)
        except (InvalidSpec, binascii.Error, TypeError) as exc:
            raise PullSecretUnusable(str(exc) if isinstance(exc, InvalidSpec) else f"{where} is no base64") from None
