"""One request to an API server and what came back, as plain values: what every transport carries."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol

from conductor.kube.fence import Fence

__all__ = ["Reply", "Request", "Stream", "Transport"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is asked."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    body: bytes | None = field(default=None, repr=False)
    content_type: str = "application/json"
    fence: Fence | None = None
    """Checked right before bytes leave us."""

    @property
    def reads(self) -> bool:
        """Whether it changes nothing, so that it may be asked twice."""
        return self.method == "GET"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What was answered, refusals included."""

    status: int
    body: bytes = field(repr=False)
    retry_after: float | None = None
    """Seconds that the server wants us to wait."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """An answer that goes on."""

    chunks: AsyncIterator[bytes]
    """Raises `ClusterAway` where it breaks."""


class Transport(Protocol):
    """Carry requests; each raises `ClusterAway` when there is no answer, and `LeadershipLost` by the fence."""

    async def send(self, request: Request, *, within: float) -> Reply:
        """Ask and wait for the whole answer."""
        ...

    def stream(self, request: Request, *, within: float) -> AbstractAsyncContextManager[Stream | Reply]:
        """Open a stream within that time; answers a `Reply` where it was refused."""
        ...
