"""Images for those who ask the loader itself: pulled by a child without rights, kept here by their digest.

Nothing privileged reads what a registry sent but the hash of the file that the child hands back. Our own agent pulls by
itself and sends files; this is for other clients of bpfman's API.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from conductor import errors
from conductor.children import Answer, ask, ours
from conductor.errors import (
    ConductorError,
    ImageDamaged,
    ImageNotFound,
    ImageTooLarge,
    InvalidConfig,
    RegistryAway,
)
from conductor.loader.directory import OwnDirectory
from conductor.loader.image_shelf import ImageShelf
from conductor.model.image import Credentials
from conductor.model.kernel import PullPolicy
from conductor.model.reference import Reference

__all__ = ["ImagePulls"]

log = logging.getLogger(__name__)
_SECONDS: Final = 300.0
_AT_ONCE: Final = 2
_TURNS: Final = 64
_LARGEST: Final = 64 << 20
_HEAD: Final = 4096
"""Room for the line that stands before the object."""
_PROXIES: Final = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy", "TMPDIR")
_REFUSALS: Final = {
    kind.reason: kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, ConductorError)
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Got:
    """What the child answered."""

    digest: str
    verdict: str
    data: bytes


class ImagePulls:
    """Bring in what clients name: by the pull policy, one reference once at a time, never past the image policy."""

    def __init__(self, *, directory: OwnDirectory, registries: Path | None, policy: Path | None) -> None:
        self._registries, self._policy = registries, policy
        self._mark = _mark(policy)
        self._shelf = ImageShelf(directory=directory)
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._turns = tuple(asyncio.Lock() for _ in range(_TURNS))

    def name_of(self, path: str) -> str:
        """Reference of the image that a file here came from; empty for any other file."""
        return self._shelf.name_of(path)

    async def file_of(self, url: str, policy: PullPolicy, credentials: Credentials | None) -> Path:
        """Answer the object that an image holds, pulled as the policy says.

        Raises `ImageNotFound` (Never, and not here), and whatever a pull does.
        """
        reference = Reference.parse(url, "bytecode.image.url")
        async with self._turns[hash(reference) % _TURNS]:
            if policy is not PullPolicy.ALWAYS:
                kept = await asyncio.to_thread(self._shelf.find, reference, self._mark)
                if kept is not None:
                    return kept
            if policy is PullPolicy.NEVER:
                raise ImageNotFound(
                    f"{reference} was not pulled by this loader under its image policy of now, and its pull policy is "
                    "Never; pull it first (PullBytecode), or use IfNotPresent"
                )
            got = await self._pulled(reference, credentials)
            log.info("pulled %s, %s (trusted by: %s)", reference, got.digest, got.verdict or "no policy")
            return await asyncio.to_thread(self._shelf.keep, reference, got.data, digest=got.digest, policy=self._mark)

    async def _pulled(self, reference: Reference, credentials: Credentials | None) -> _Got:
        question = {
            "url": str(reference),
            "username": credentials.username if credentials else "",
            "password": credentials.password if credentials else "",
            "registries": str(self._registries or ""),
            "policy": str(self._policy or ""),
        }
        environment = {name: os.environ[name] for name in _PROXIES if name in os.environ}
        async with self._slots:
            try:
                answer = await ask(
                    ours("conductor.loader.pull_child"),
                    json.dumps(question).encode(),
                    seconds=_SECONDS,
                    most=_LARGEST + _HEAD,
                    environment=environment,
                )
            except TimeoutError:
                raise RegistryAway(f"{reference}: pulling took more than {_SECONDS:g} s; try again") from None
        return _got(reference, answer)


def _got(reference: Reference, answer: Answer) -> _Got:
    """Take what the child handed back; nothing of it is believed that its digest does not say."""
    if answer.is_too_long:
        raise ImageTooLarge(f"{reference}: its object is larger than {_LARGEST >> 20} MiB, the most that is loaded")
    head, _, data = answer.said.partition(b"\n")
    try:
        told: Mapping[str, Any] = json.loads(head)
    except ValueError:
        raise RegistryAway(
            f"{reference}: the child that pulls it ended with {answer.status} and no answer: {answer.last_words}"
        ) from None
    if "reason" in told:
        raise _refusal(str(told["reason"]), str(told["message"]))
    content = f"sha256:{hashlib.sha256(data).hexdigest()}"
    if content != told["content"] or not data:
        raise ImageDamaged(f"{reference}: what its child handed back is {content}, not {told['content']}; try again")
    return _Got(digest=str(told["digest"]), verdict=str(told["verdict"]), data=data)


def _refusal(reason: str, message: str) -> ConductorError:
    kind = _REFUSALS.get(reason, RegistryAway)
    error = kind.__new__(kind, message)
    error.args = (message,)
    return error


def _mark(policy: Path | None) -> str:
    """Tell one image policy from another. Raises `InvalidConfig`."""
    try:
        return hashlib.sha256(policy.read_bytes()).hexdigest() if policy is not None else ""
    except OSError as exc:
        raise InvalidConfig((("--image-policy", f"{policy} cannot be read: {exc.strerror}"),)) from exc
