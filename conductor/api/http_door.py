"""What the HTTP door answers: metrics, health, readiness, programs as JSON, and a page for people."""

from __future__ import annotations

import asyncio
import json
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from aiohttp import web

from conductor.api.negotiation import takes_gzip, wants_openmetrics
from conductor.api.page import Overview, page_html
from conductor.api.scrapes import Scrapes, Variant
from conductor.api.views import program_view
from conductor.model.status import Cost, KernelStatus, ProgramStatus

__all__ = ["Bounds", "HttpDoor"]

_SLICE: Final = 256 << 10
_BEAT_SECONDS: Final = 0.5
_STILL_SECONDS: Final = 10.0
"""A loop that stood still for longer is reported as unhealthy once it moves again."""
_FILTERS: Final = 100

_TEXT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_OPENMETRICS_TYPE: Final = "application/openmetrics-text; version=1.0.0; charset=utf-8"
_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Server": "ebpfconductor",
}

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What clients may take of the agent."""

    connections: int = 128
    bodies: int = 16
    """Metrics pages being sent at once: each holds its bytes until its client has read them."""
    send_seconds: float = 30.0
    """Time to render a page and have it read."""
    idle_seconds: float = 75.0
    """Time a connection may be silent, a new one too."""


class HttpDoor:
    """Answer requests from what its callables say. `requests` and `loop_lag` are for the agent's own metrics."""

    def __init__(
        self,
        *,
        scrapes: Scrapes,
        programs: Callable[[], Sequence[ProgramStatus]],
        ready: Callable[[], tuple[bool, Sequence[str]]],
        kernel: Callable[[], Sequence[KernelStatus]],
        costs: Callable[[], Sequence[Cost]],
        node: str,
        version: str,
        clock: Callable[[], float],
        bounds: Bounds,
    ) -> None:
        self.address = ""
        """Where it serves, `host:port`, the port being the real one."""
        self.requests: Counter[tuple[str, str]] = Counter()
        """Requests answered, by route and status code."""
        self.loop_lag = 0.0
        """Seconds by which the event loop was late at the last beat."""
        self._scrapes = scrapes
        self._programs, self._ready, self._kernel, self._costs = programs, ready, kernel, costs
        self._node, self._version, self._clock = node, version, clock
        self._bounds = bounds
        self._bodies = 0
        self._beat = 0.0

    def application(self) -> web.Application:
        """Routes and what surrounds them."""
        application = web.Application(middlewares=[self._surround])
        application.router.add_get("/", self._page)
        application.router.add_get("/metrics", self._metrics)
        application.router.add_get("/healthz", self._healthz)
        application.router.add_get("/readyz", self._readyz)
        application.router.add_get("/api/v1/programs", self._list)
        application.router.add_get("/api/v1/programs/{name}", self._get)
        return application

    async def beat(self) -> None:
        """Notice how late the loop is, for ever."""
        loop = asyncio.get_running_loop()
        while True:
            self._beat = loop.time()
            await asyncio.sleep(_BEAT_SECONDS)
            self.loop_lag = max(0.0, loop.time() - self._beat - _BEAT_SECONDS)

    @web.middleware
    async def _surround(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        resource = request.match_info.route.resource
        route = resource.canonical if resource else "other"
        try:
            answer = await handler(request)
        except web.HTTPException as refusal:
            answer = web.Response(
                status=refusal.status, text=f"{refusal.status}: {refusal.reason}; / shows what is here\n"
            )
            answer.headers.update({name: refusal.headers[name] for name in ("Allow",) if name in refusal.headers})
        except (ConnectionError, TimeoutError) as error:
            log.info("a client of %s went away or read too slowly: %r", route, error)
            self.requests[route, "499"] += 1
            if request.transport is not None:
                request.transport.abort()
            raise
        except Exception:
            log.exception("%s failed", route)
            answer = web.Response(status=500, text="500: this answer failed; the agent's log says why\n")
        self.requests[route, str(answer.status)] += 1
        if not answer.prepared:
            answer.headers.update(_HEADERS)
        return answer

    async def _metrics(self, request: web.Request) -> web.StreamResponse:
        if self._bodies >= self._bounds.bodies:
            sentence = f"{self._bodies} scrapes are being answered; try again\n"
            return web.Response(status=503, headers={"Retry-After": "1"}, text=sentence)
        variant = _variant(request)
        self._bodies += 1
        try:
            async with asyncio.timeout(self._bounds.send_seconds):
                body = await self._scrapes.render(variant)
                return await _send(request, body, variant)
        finally:
            self._bodies -= 1

    async def _healthz(self, _: web.Request) -> web.Response:
        still = asyncio.get_running_loop().time() - self._beat
        if still > _STILL_SECONDS:
            return web.Response(status=503, text=f"the event loop stood still for {still:.0f} s\n")
        return web.Response(text="ok\n")

    async def _readyz(self, _: web.Request) -> web.Response:
        ready, reasons = self._ready()
        lines = [*reasons] or ["ok" if ready else "not ready"]
        return web.Response(status=200 if ready else 503, text="".join(f"{_one_line(line)}\n" for line in lines))

    async def _list(self, _: web.Request) -> web.Response:
        programs = sorted(self._programs(), key=lambda status: status.spec.name)
        return _json({"items": [program_view(status) for status in programs]})

    async def _get(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        for status in self._programs():
            if status.spec.name == name:
                return _json(program_view(status))
        sentence = f"no program is called {name[:80]!r}; /api/v1/programs lists those that are"
        return _json({"reason": "NotFound", "message": sentence}, status=404)

    async def _page(self, _: web.Request) -> web.Response:
        ready, reasons = self._ready()
        view = Overview(
            now=self._clock(),
            node=self._node,
            version=self._version,
            ready=ready,
            reasons=reasons,
            programs=self._programs(),
            costs=self._costs(),
            kernel=self._kernel(),
        )
        return web.Response(text=page_html(view), content_type="text/html")


def _variant(request: web.Request) -> Variant:
    query = request.query
    return Variant(
        openmetrics=wants_openmetrics(",".join(request.headers.getall("Accept", ()))),
        gzip=takes_gzip(",".join(request.headers.getall("Accept-Encoding", ()))),
        programs=frozenset(query.getall("program", ())[:_FILTERS]),
        names=frozenset([*query.getall("name[]", ()), *query.getall("name", ())][:_FILTERS]),
    )


async def _send(request: web.Request, body: bytes, variant: Variant) -> web.StreamResponse:
    """Send in slices, each after the last has left: a page is not copied into a buffer per client."""
    answer = web.StreamResponse(headers=_HEADERS)
    answer.headers["Content-Type"] = _OPENMETRICS_TYPE if variant.openmetrics else _TEXT_TYPE
    answer.headers["Vary"] = "Accept, Accept-Encoding"
    if variant.gzip:
        answer.headers["Content-Encoding"] = "gzip"
    answer.content_length = len(body)
    await answer.prepare(request)
    if request.method != "HEAD":
        view = memoryview(body)
        for low in range(0, len(body), _SLICE):
            await answer.write(view[low : low + _SLICE])
    await answer.write_eof()
    return answer


def _json(document: Any, *, status: int = 200) -> web.Response:
    return web.json_response(document, status=status, dumps=lambda value: json.dumps(value) + "\n")


def _one_line(text: str) -> str:
    return " ".join(text.split())
