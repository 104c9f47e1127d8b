"""The keyring: which credentials an endpoint is shown when the caller brings none."""

from __future__ import annotations

import asyncio
from pathlib import Path

from conductor.errors import InvalidSpec, RegistryRefused
from conductor.model.image import Credentials, Reference
from conductor.oci.credential_helpers import ask_helper
from conductor.oci.docker_config import MOST_BYTES, DockerConfig
from conductor.oci.registries import Endpoint, RegistriesConfig

__all__ = ["Keyring", "stored_credentials"]


class Keyring:
    """Look credentials up in the configured files, read anew each time: mounted secrets are replaced in place."""

    def __init__(self, *, registries: RegistriesConfig) -> None:
        self._registries = registries

    async def credentials(self, endpoint: Endpoint) -> Credentials | None:
        """Find what is configured for an endpoint. Raises `RegistryRefused` where that cannot be read."""
        path = self._registries.auth_file(endpoint)
        if path is None:
            return None
        config = await asyncio.to_thread(_read, path, endpoint.name)
        helper = config.helper(endpoint.name)
        if helper and (found := await ask_helper(helper, endpoint.name)):
            return found
        return config.find(f"{endpoint.name}/{endpoint.repository}")


def stored_credentials(registries: RegistriesConfig, reference: Reference) -> Credentials | None:
    """Find what a file holds for a reference's registry, for those who may not read it later; no helper is asked.

    Raises `RegistryRefused`.
    """
    endpoint = registries.endpoints(reference, direct=True)[-1]
    path = registries.auth_file(endpoint)
    return _read(path, endpoint.name).find(f"{endpoint.name}/{endpoint.repository}") if path else None


def _read(path: Path, host: str) -> DockerConfig:
    try:
        with path.open("rb") as file:
            body = file.read(MOST_BYTES + 1)
        return DockerConfig.parse(body, where=str(path))
    except OSError as exc:
        raise RegistryRefused(f"{host}: its credentials in {path} cannot be read: {exc.strerror}") from None
    except InvalidSpec as exc:
        raise RegistryRefused(f"{host}: {exc}") from None
