"""The child that pulls an image for the loader: no rights, nobody's uid, gone when it is done.

A question in JSON on standard input; on standard output a line of JSON and, where all went well, the object's bytes.
Settings are read while it is still root (an auth file may be root's alone); then every right is given up, and only
then is a registry spoken to. Everything is imported before that too: nobody may not be able to read our code.
Started as `python -m conductor.loader.pull_child PARENT`.
"""

from __future__ import annotations

import asyncio
import ctypes
import importlib
import json
import os
import resource
import signal
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from conductor.errors import ConductorError, PrivilegesKept
from conductor.model.image import Credentials, ImageKind, Reference
from conductor.model.kernel import PullPolicy
from conductor.oci.client import RegistryClient
from conductor.oci.keyring import stored_credentials
from conductor.oci.puller import Puller
from conductor.oci.registries import RegistriesConfig
from conductor.oci.service import read_policy
from conductor.oci.store import ImageStore
from conductor.oci.trust.judges import HereAndNow
from conductor.oci.trust.policy import TrustPolicy
from conductor.oci.trust.verifier import Verifier
from conductor.privilege import Identity, drop

__all__ = ["main"]

NOBODY: Final = 65534
LARGEST_QUESTION: Final = 1 << 20
_STORE: Final = 256 << 20
_PR_SET_PDEATHSIG: Final = 1
_LATE: Final = ("concurrent.futures.thread", "encodings.idna", "stringprep", "aiohttp.client", "tarfile")
"""What is imported when it is first needed, which is too late here."""
_CPU_SECONDS, _MEMORY, _FILES = 120, 4 << 30, 256


@dataclass(frozen=True, slots=True, kw_only=True)
class _Errand:
    """What is to be pulled, with all that needed rights to be read."""

    reference: Reference
    credentials: Credentials | None
    registries: RegistriesConfig
    policy: TrustPolicy


def main() -> int:
    """Pull one image; a refusal is an answer too."""
    _tie_to_parent()
    try:
        errand = _errand(json.loads(sys.stdin.buffer.read(LARGEST_QUESTION)))
        _give_up()
        asyncio.run(_pull(errand))
    except ConductorError as error:
        _say({"reason": error.reason, "message": str(error)})
    return 0


def _errand(asked: Mapping[str, Any]) -> _Errand:
    registries = RegistriesConfig.read(_path(asked["registries"]), environ=os.environ)
    policy = read_policy(_path(asked["policy"]))
    reference = Reference.parse(asked["url"], "bytecode.image.url")
    own = Credentials(asked["username"], asked["password"]) if asked["username"] else None
    if not policy.is_absent:
        HereAndNow.prepare()
    return _Errand(
        reference=reference,
        credentials=own or stored_credentials(registries, reference),
        registries=registries,
        policy=policy,
    )


async def _pull(errand: _Errand) -> None:
    with (
        tempfile.TemporaryDirectory(prefix="conductor-pull-") as folder,
        ImageStore.opened(Path(folder) / "store", bytes_limit=_STORE) as store,
    ):
        async with RegistryClient.opened(registries=errand.registries) as client:
            verifier = Verifier(policy=errand.policy, client=client, verdicts=None, judges=HereAndNow())
            puller = Puller(client=client, store=store, verifier=verifier)
            pulled = await puller.pull(
                errand.reference, ImageKind.BYTECODE, policy=PullPolicy.ALWAYS, credentials=errand.credentials
            )
        content = await asyncio.to_thread(pulled.path.read_bytes)
        _say({"digest": pulled.digest, "content": pulled.content, "size": len(content), "verdict": pulled.verdict})
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()


def _say(answer: Mapping[str, Any]) -> None:
    sys.stdout.buffer.write(json.dumps(answer).encode() + b"\n")
    sys.stdout.buffer.flush()


def _path(word: str) -> Path | None:
    return Path(word) if word else None


def _tie_to_parent() -> None:
    """Die with the loader; it may have died already."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if [str(os.getppid())] != sys.argv[1:]:
        os._exit(1)


def _give_up() -> None:
    """Bound what it may use, then become nobody. The death signal is lost by the change of user: set it again."""
    for name in _LATE:
        importlib.import_module(name)
    for what, most in (
        (resource.RLIMIT_CPU, _CPU_SECONDS),
        (resource.RLIMIT_AS, _MEMORY),
        (resource.RLIMIT_NOFILE, _FILES),
        (resource.RLIMIT_FSIZE, _STORE),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(what, (most, most))
    is_root = os.geteuid() == 0
    try:
        drop(
            Identity(uid=NOBODY, gid=NOBODY)
            if is_root
            else Identity(uid=os.geteuid(), gid=os.getegid(), groups=tuple(os.getgroups()))
        )
    except PrivilegesKept as exc:
        raise PrivilegesKept(
            f"images are pulled by a child that gives up every right, and it could not: {exc}; give the loader "
            "CAP_SETUID, CAP_SETGID and CAP_SETPCAP too, or send it files"
        ) from exc
    _tie_to_parent()


if __name__ == "__main__":
    sys.exit(main())
