"""Answers to 401: which `Authorization` a repository is shown, kept for as long as it is good."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections import OrderedDict
from dataclasses import dataclass, field

from conductor.errors import RegistryRefused
from conductor.model.image import Credentials
from conductor.oci.challenges import Challenge
from conductor.oci.keyring import Keyring
from conductor.oci.registries import Endpoint
from conductor.oci.tokens import TokenServer, basic

__all__ = ["Access", "Authorizer"]

_MOST_KEPT = 256
_MARGIN = 0.1
"""Part of a token's life in which it is not used any more: it must last through the call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """What is to be done where, and as whom; no credentials means those that are configured."""

    endpoint: Endpoint
    actions: str = "pull"
    credentials: Credentials | None = None

    @property
    def scope(self) -> str:
        """Resource and actions as token servers write them."""
        return f"repository:{self.endpoint.repository}:{self.actions}"


@dataclass(slots=True)
class _Slot:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    header: str = field(default="", repr=False)
    until: float = 0.0


class Authorizer:
    """Keep one header per repository, actions and caller: nobody pulls by another's token. Bounded, oldest out."""

    def __init__(self, *, keyring: Keyring, tokens: TokenServer) -> None:
        self._keyring = keyring
        self._tokens = tokens
        self._slots: OrderedDict[tuple[str, str, bytes], _Slot] = OrderedDict()
        self._key = secrets.token_bytes(32)

    def known(self, access: Access) -> str:
        """Header that was good a moment ago; empty: none."""
        slot = self._slot(access)
        return slot.header if asyncio.get_running_loop().time() < slot.until else ""

    async def answer(self, access: Access, offers: tuple[Challenge, ...], refused: str) -> str:
        """Make the header that a 401 asks for; `refused` is what was shown before.

        Raises `RegistryRefused`, `RegistryAway`.
        """
        slot = self._slot(access)
        async with slot.lock:
            known = self.known(access)
            if known and known != refused:
                return known  # somebody else asked meanwhile
            slot.header, slot.until = "", 0.0
            credentials = access.credentials or await self._keyring.credentials(access.endpoint)
            header, seconds = await self._made(access, offers, credentials)
            if header == refused:
                raise RegistryRefused(f"{access.endpoint.name} does not accept the credentials it was shown (401)")
            slot.header, slot.until = header, asyncio.get_running_loop().time() + seconds * (1 - _MARGIN)
            return header

    async def _made(
        self, access: Access, offers: tuple[Challenge, ...], credentials: Credentials | None
    ) -> tuple[str, float]:
        by_scheme = {offer.scheme: offer for offer in reversed(offers)}
        if bearer := by_scheme.get("bearer"):
            token = await self._tokens.token(access.endpoint, bearer, access.scope, credentials)
            return f"Bearer {token.value}", token.seconds
        name = access.endpoint.name
        if "basic" not in by_scheme:
            offered = ", ".join(sorted(by_scheme)) or "nothing"
            raise RegistryRefused(f"{name} wants a login by {offered[:80]}; Bearer and Basic are spoken here")
        if credentials is None:
            raise RegistryRefused(
                f"{name} wants a password and none is configured: give a pull secret, or `auth` in the registries file"
            )
        if credentials.is_identity_token:
            raise RegistryRefused(f"{name} wants a password; an identity token is configured, which it cannot take")
        return basic(credentials), float("inf")

    def _slot(self, access: Access) -> _Slot:
        who = b""
        if access.credentials:
            secret = f"{access.credentials.username}\0{access.credentials.password}".encode()
            who = hashlib.blake2b(secret, key=self._key).digest()
        key = (access.endpoint.origin, access.scope, who)
        slot = self._slots.setdefault(key, _Slot())
        self._slots.move_to_end(key)
        while len(self._slots) > _MOST_KEPT:
            self._slots.popitem(last=False)
        return slot
