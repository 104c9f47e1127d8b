"""Long lists in chunks."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from conductor.kube.asking import Asking
from conductor.kube.requests import Request
from conductor.model.cluster import Document, Resource

__all__ = ["Page", "pages"]

LENGTH = 250
"""Objects a page: at 4 KiB each, decoding one holds the loop for some 10 ms."""


@dataclass(frozen=True, slots=True)
class Page:
    """A chunk of a list, and the version of the whole."""

    items: list[Document]
    resource_version: str


async def pages(
    asking: Asking,
    resource: Resource,
    namespace: str,
    query: tuple[tuple[str, str], ...],
    *,
    within: float,
    whole: bool = False,
) -> AsyncIterator[Page]:
    """Answer a list page by page, or `whole`; each page within so many seconds, however many there are.

    Raises `HistoryGone` where it took so long that the rest is gone.
    """
    doing, more = f"list {resource}", ""
    while True:
        extra = () if whole else (("limit", str(LENGTH)), *((("continue", more),) if more else ()))
        asked = Request(method="GET", path=resource.path(namespace), query=(*query, *extra))
        found = await asking.document(asked, doing, within=within)
        metadata = found.get("metadata") or {}
        yield Page(found.get("items") or [], metadata.get("resourceVersion", ""))
        if not (more := metadata.get("continue") or ""):
            return
