"""What `doctor` looks at of images: policy, registries file, and whether the registries it names answer."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Mapping, Sequence

from conductor.cli.checks import Answer, Finding
from conductor.config import Config
from conductor.errors import ConductorError
from conductor.oci.registries import RegistriesConfig
from conductor.oci.service import read_policy

__all__ = ["images"]


def images(config: Config) -> Iterator[Finding]:
    """The files that say where images come from and who must have signed them, and the registries they name."""
    where = config.images
    try:
        read_policy(where.image_policy)
        detail = str(where.image_policy) if where.image_policy else "none: every image is accepted (--image-policy)"
        yield Finding(area="images", name="policy", answer=Answer.YES, detail=detail)
    except ConductorError as exc:
        yield Finding(area="images", name="policy", answer=Answer.NO, detail=str(exc), fatal=True)
    try:
        registries = RegistriesConfig.read(where.registries, environ=os.environ)
        hosts = sorted({name.partition("/")[0] for name in registries.entries})
        problems = asyncio.run(_unreached(registries, hosts))
    except ConductorError as exc:
        yield Finding(area="images", name="registries", answer=Answer.NO, detail=str(exc), fatal=True)
        return
    if not hosts:
        detail = "none is named (--registries); conductor image inspect REF asks the one of REF"
        yield Finding(area="images", name="registries", answer=Answer.UNKNOWN, detail=detail)
    for host in hosts:
        answer = Answer.NO if host in problems else Answer.YES
        yield Finding(area="images", name=host, answer=answer, detail=problems.get(host, "answers"))


async def _unreached(registries: RegistriesConfig, hosts: Sequence[str]) -> Mapping[str, str]:
    """Why each registry that does not answer does not."""
    from conductor.oci.client import RegistryClient  # noqa: PLC0415 - aiohttp is slow to import

    problems: dict[str, str] = {}

    async def ask(client: RegistryClient, host: str) -> None:
        try:
            await client.reach(host)
        except ConductorError as exc:
            problems[host] = str(exc)

    async with RegistryClient.opened(registries=registries) as client, asyncio.TaskGroup() as group:
        for host in hosts:
            group.create_task(ask(client, host), name=f"reach {host}")
    return problems
