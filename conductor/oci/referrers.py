"""What refers to a manifest: the referrers API, or the tag that stands in for it (distribution-spec 1.1)."""

from __future__ import annotations

import re

from yarl import URL

from conductor.errors import ImageNotFound, ImageUnusable
from conductor.model.image import Credentials, Descriptor, Reference
from conductor.oci.documents import json_object
from conductor.oci.media_types import OCI_INDEX
from conductor.oci.registries import Endpoint
from conductor.oci.transport import Ask, Transport
from conductor.oci.wire import origin_of

__all__ = ["descriptors_of", "list_referrers", "tag_of"]

_MOST_PAGES = 16
_LINK = re.compile(r"<([^<>]{1,4096})>\s*;\s*rel=\"?next\"?")
_NO_API = frozenset({400, 404, 405, 406, 501})


def tag_of(digest: str) -> str:
    """Tag under which registries without the API keep the list: `sha256-<hex>`."""
    return digest.replace(":", "-", 1)


async def list_referrers(
    transport: Transport, endpoint: Endpoint, reference: Reference, digest: str, credentials: Credentials | None
) -> tuple[Descriptor, ...]:
    """List every referrer that one endpoint tells, unfiltered: registries report types wrongly.

    Empty where it has none, or knows neither the API nor the tag. Raises as `Transport.send`.
    """
    found = await _by_api(transport, endpoint, reference, digest, credentials)
    if found is None:
        found = await _by_tag(transport, endpoint, reference, digest, credentials)
    return found[: transport.limits.referrers]


async def _by_api(
    transport: Transport, endpoint: Endpoint, reference: Reference, digest: str, credentials: Credentials | None
) -> tuple[Descriptor, ...] | None:
    found: list[Descriptor] = []
    url = ""
    for _ in range(_MOST_PAGES):
        ask = Ask(
            endpoint=endpoint,
            path=f"referrers/{digest}",
            url=url,
            what=f"{reference.at(digest)}: its referrers",
            headers={"Accept": OCI_INDEX},
            credentials=credentials,
            accepts=frozenset({200}) | _NO_API,
        )
        page = await transport.read(ask, transport.limits.manifest)
        if page.status != 200 or OCI_INDEX not in page.headers.get("Content-Type", ""):
            return tuple(found) if url else None
        found += descriptors_of(page.body, ask.what, transport.limits.manifest)
        url = _next_page(page.headers.get("Link", ""), ask.target)
        if not url or len(found) >= transport.limits.referrers:
            break
    return tuple(found)


async def _by_tag(
    transport: Transport, endpoint: Endpoint, reference: Reference, digest: str, credentials: Credentials | None
) -> tuple[Descriptor, ...]:
    ask = Ask(
        endpoint=endpoint,
        path=f"manifests/{tag_of(digest)}",
        what=f"{reference.tagged(tag_of(digest))}: the list of referrers",
        headers={"Accept": OCI_INDEX},
        credentials=credentials,
    )
    try:
        answer = await transport.read(ask, transport.limits.manifest)
    except ImageNotFound:
        return ()
    return descriptors_of(answer.body, ask.what, transport.limits.manifest)


def descriptors_of(body: bytes, what: str, most: int) -> tuple[Descriptor, ...]:
    """Read the manifests that an index lists. Raises `ImageUnusable`, `ImageTooLarge`."""
    listed = json_object(body, what, most).get("manifests")
    if not isinstance(listed, list):
        raise ImageUnusable(f"{what} are no index: it has no manifests")
    return tuple(Descriptor.parse(raw, f"{what}, manifests[{at}]") for at, raw in enumerate(listed))


def _next_page(link: str, here: str) -> str:
    """Address of the next page (RFC 8288), as long as it is of the same registry."""
    found = _LINK.search(link)
    if not found:
        return ""
    try:
        there = URL(here, encoded=True).join(URL(found[1], encoded=True))
    except ValueError:
        return ""
    return str(there) if origin_of(there) == origin_of(URL(here, encoded=True)) and str(there) != here else ""
