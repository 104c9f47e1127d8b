"""Refusals of an API server as errors of ours."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any

from conductor.errors import (
    AlreadyExists,
    ClusterAway,
    ClusterConflict,
    ClusterInvalid,
    ClusterRefused,
    ConductorError,
    HistoryGone,
    NotFound,
)
from conductor.kube.requests import Reply

__all__ = ["error_of", "error_of_status"]

LONGEST = 512
"""Characters of the server's own words that we pass on."""


def error_of(reply: Reply, doing: str, *, secret: bool = False) -> ConductorError:
    """Answer the error that a refusal stands for; `doing` names verb, resource and object.

    The body is passed on only where it is a Status, cut, and never where it could quote a `secret`.
    """
    return error_of_status(reply.status, _status(reply.body), doing, secret=secret)


def error_of_status(code: int, status: dict[str, Any], doing: str, *, secret: bool = False) -> ConductorError:
    """Answer the same for a Status object, as watches carry it."""
    told = "" if secret else str(status.get("message") or "")[:LONGEST]
    text = f"{doing}: {told or f'HTTP {code} {_phrase(code)}'}"
    if code == 409 and status.get("reason") == "AlreadyExists":
        return AlreadyExists(text)
    if code in _CLASSES:
        return _CLASSES[code](text)
    return ClusterInvalid(text) if 400 <= code < 500 else ClusterAway(text)


_CLASSES: dict[int, type[ConductorError]] = {
    401: ClusterRefused,
    403: ClusterRefused,
    404: NotFound,
    408: ClusterAway,
    409: ClusterConflict,
    410: HistoryGone,
    429: ClusterAway,
}


def _status(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) and found.get("kind") == "Status" else {}


def _phrase(code: int) -> str:
    try:
        return HTTPStatus(code).phrase
    except ValueError:
        return ""
