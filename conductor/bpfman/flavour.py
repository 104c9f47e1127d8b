"""Which daemon stands at the other end: asked at every connect, without side effect.

`Get` of id 0: our loader signs its answers (and where it merely assists, refuses); the Go daemon says NOT_FOUND; the Rust one ABORTED, as it says to
everything. Then an Attach without a link tells Rust 0.6 (ABORTED) from 0.5, which has no Attach (UNIMPLEMENTED) and
whose messages, under the same service name, would be decoded as garbage.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from conductor.bpfman.call import Method, exchange
from conductor.bpfman.channel import OneConnection
from conductor.errors import Code, KernelAway, NotSupported
from conductor.proto.bpfman.v1 import AttachRequest, AttachResponse, GetRequest, GetResponse

__all__ = ["LOADER_HEADER", "Daemon", "Flavour", "probe"]

LOADER_HEADER = "x-ebpfconductor-loader"
"""Initial metadata of every answer of our loader; its value is the version."""
PROBE_SECONDS = 3.0
_GET = Method("/bpfman.v1.Bpfman/Get", GetResponse, PROBE_SECONDS)
_ATTACH = Method("/bpfman.v1.Bpfman/Attach", AttachResponse, PROBE_SECONDS)


class Flavour(StrEnum):
    """Daemons that we speak to."""

    LOADER = "loader"
    RUST = "bpfman-rust"
    GO = "bpfman-go"
    ASSIST = "assistant"
    """`conductor loader --assist`: no road, it stands beside one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Daemon:
    """The daemon of one connection; `version` only where it tells."""

    flavour: Flavour
    version: str = ""


async def probe(channel: OneConnection) -> Daemon:
    """Tell which daemon answers.

    Raises `KernelAway` when none does, `NotSupported` for bpfman 0.5 and for what is no bpfman.
    """
    answer = await exchange(channel, _GET, GetRequest(id=0))
    if LOADER_HEADER in answer.metadata:
        flavour = Flavour.ASSIST if answer.code is Code.UNIMPLEMENTED else Flavour.LOADER
        return Daemon(flavour=flavour, version=answer.metadata[LOADER_HEADER])
    match answer.code:
        case Code.NOT_FOUND:
            return Daemon(flavour=Flavour.GO)
        case Code.ABORTED:
            return await _probe_rust(channel)
        case Code.UNAVAILABLE | Code.DEADLINE_EXCEEDED | Code.CANCELLED:
            raise KernelAway(f"{channel.socket} answers, but not yet: {answer.text}")
        case _:
            said = "OK" if answer.code is None else answer.code.name
            raise NotSupported(
                f"{channel.socket} is served by no bpfman that we know (Get of id 0 answered {said}); "
                "use bpfman 0.6 or later, or `--kernel embedded`"
            )


async def _probe_rust(channel: OneConnection) -> Daemon:
    answer = await exchange(channel, _ATTACH, AttachRequest(id=0))
    if answer.code is Code.UNIMPLEMENTED:
        raise NotSupported(
            f"{channel.socket} is served by bpfman 0.5, whose messages mean other things; "
            "upgrade it to 0.6 or later, or use `--kernel embedded`"
        )
    return Daemon(flavour=Flavour.RUST)
