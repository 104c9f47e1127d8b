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
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from conductor import errors
from conductor.errors import ConductorError, ImageDamaged, ImageNotFound, RegistryAway
from conductor.loader.directory import OwnDirectory
from conductor.model.image import Credentials
from conductor.model.kernel import PullPolicy
from conductor.model.reference import Reference

__all__ = ["ImagePulls"]

log = logging.getLogger(__name__)
_SECONDS: Final = 300.0
_AT_ONCE: Final = 2
_MOST: Final = 256
_LARGEST: Final = 64 << 20
_WHERE: Final = Path(__file__).parents[2]
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
    """Own the images folder: `<hex>.o` by the digest of the file, `<hash of the reference>.json` for what a tag was."""

    def __init__(self, *, directory: OwnDirectory, registries: Path | None, policy: Path | None) -> None:
        self._directory, self._registries, self._policy = directory, registries, policy
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._locks: dict[str, asyncio.Lock] = {}
        self._names = dict(self._remembered())

    def name_of(self, path: str) -> str:
        """Reference of the image that a file here came from; empty for any other file."""
        return self._names.get(path, "")

    async def file_of(self, url: str, policy: PullPolicy, credentials: Credentials | None) -> Path:
        """Answer the object that an image holds, pulled as the policy says.

        Raises `ImageNotFound` (Never, and not here), and whatever a pull does.
        """
        reference = Reference.parse(url, "bytecode.image.url")
        async with self._locks.setdefault(str(reference), asyncio.Lock()):
            if policy is not PullPolicy.ALWAYS and (kept := self._kept(reference)) is not None:
                return kept
            if policy is PullPolicy.NEVER:
                raise ImageNotFound(f"{reference} was not pulled by this loader, and its pull policy is Never")
            return self._keep(reference, await self._pulled(reference, credentials))

    def _kept(self, reference: Reference) -> Path | None:
        with suppress(OSError, ValueError, LookupError, TypeError):
            record = json.loads(self._directory.read(_record(reference)) or b"{}")
            name, content = f"{record['content']}.o", str(record["content"])
            if hashlib.sha256(self._directory.read(name) or b"").hexdigest() == content:
                return Path(self._path(content))
        return None

    def _keep(self, reference: Reference, got: _Got) -> Path:
        content = hashlib.sha256(got.data).hexdigest()
        for suffix in (".o", ".json"):
            old = [name for name in self._directory.names() if name.endswith(suffix)]
            for name in old[: max(0, len(old) - _MOST + 1)]:
                self._directory.remove(name)
        self._directory.write(f"{content}.o", got.data)
        record = {"reference": str(reference), "digest": got.digest, "content": content}
        self._directory.write(_record(reference), json.dumps(record).encode())
        self._names[self._path(content)] = str(reference)
        log.info("pulled %s, %s (trusted by: %s)", reference, got.digest, got.verdict or "no policy")
        return Path(self._path(content))

    def _remembered(self) -> Iterator[tuple[str, str]]:
        for name in self._directory.names():
            with suppress(OSError, ValueError, LookupError, TypeError):
                if name.endswith(".json"):
                    record = json.loads(self._directory.read(name) or b"")
                    yield self._path(str(record["content"])), str(record["reference"])

    def _path(self, content: str) -> str:
        return str(self._directory.path / f"{content}.o")

    async def _pulled(self, reference: Reference, credentials: Credentials | None) -> _Got:
        question = {
            "url": str(reference),
            "username": credentials.username if credentials else "",
            "password": credentials.password if credentials else "",
            "registries": str(self._registries or ""),
            "policy": str(self._policy or ""),
        }
        async with self._slots:
            said, status = await _child(json.dumps(question).encode())
        head, _, data = said.partition(b"\n")
        try:
            answer: Mapping[str, Any] = json.loads(head)
        except ValueError:
            raise RegistryAway(f"{reference}: the child that pulls it ended with {status} and no answer") from None
        if "reason" in answer:
            raise _refusal(str(answer["reason"]), str(answer["message"]))
        content = f"sha256:{hashlib.sha256(data).hexdigest()}"
        if content != answer["content"] or not 0 < len(data) <= _LARGEST:
            raise ImageDamaged(f"{reference}: what its child handed back is {content}, not {answer['content']}")
        return _Got(digest=str(answer["digest"]), verdict=str(answer["verdict"]), data=data)


async def _child(question: bytes) -> tuple[bytes, int | None]:
    """Run the child to its end. Raises `RegistryAway` when that takes too long."""
    environment = {name: os.environ[name] for name in _PROXIES if name in os.environ}
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "conductor.loader.pull_child", str(os.getpid())),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env=environment,
        cwd=_WHERE,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(_SECONDS):
            said, _ = await child.communicate(question)
    except TimeoutError:
        raise RegistryAway(f"pulling took more than {_SECONDS:g} s") from None
    finally:
        with suppress(ProcessLookupError):
            child.kill()
        await child.wait()
    return said, child.returncode


def _refusal(reason: str, message: str) -> ConductorError:
    kind = _REFUSALS.get(reason, RegistryAway)
    error = kind.__new__(kind, message)
    error.args = (message,)
    return error


def _record(reference: Reference) -> str:
    return f"{hashlib.sha256(str(reference).encode()).hexdigest()}.json"
