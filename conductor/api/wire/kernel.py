"""Kernel programs on the wire: KernelInfo."""

from __future__ import annotations

from typing import assert_never

from conductor.api.wire.values import enum_from_wire, milliseconds, seconds, source_from_word
from conductor.model.agent import KernelFunctionInfo, KernelInfo, KernelLinkInfo
from conductor.model.ids import Name
from conductor.model.kernel import (
    BuiltinObject,
    Bytecode,
    FentryLink,
    FexitLink,
    ImageObject,
    KernelFunctionStatus,
    KprobeLink,
    Link,
    LinkStatus,
    LsmLink,
    PathObject,
    TcLink,
    TcxLink,
    TracepointLink,
    UprobeLink,
    XdpLink,
)
from conductor.model.status import Condition, KernelStatus, State
from conductor.proto.agent import v1 as pb

__all__ = ["attach_words", "bytecode_words", "kernel_from_wire", "kernel_to_wire"]


def kernel_to_wire(status: KernelStatus) -> pb.KernelInfo:
    """Print a kernel program as it stands."""
    condition = status.condition
    return pb.KernelInfo(
        name=status.spec.name,
        state=int(condition.state),
        reason=condition.reason,
        message=condition.message,
        since=milliseconds(condition.since),
        generation=status.generation,
        source=status.source.word,
        digest=status.digest,
        bytecode=bytecode_words(status.spec.bytecode),
        functions=[_function_to_wire(function) for function in status.functions],
        needed_by=list(status.needed_by),
        metadata=dict(status.spec.metadata),
    )


def kernel_from_wire(msg: pb.KernelInfo) -> KernelInfo:
    """Parse what an agent answers. Raises `InvalidSpec`."""
    return KernelInfo(
        name=Name(msg.name),
        condition=Condition(
            state=enum_from_wire(State, msg.state, "state"),
            reason=msg.reason,
            message=msg.message,
            since=seconds(msg.since),
        ),
        source=source_from_word(msg.source),
        generation=msg.generation,
        digest=msg.digest,
        bytecode=msg.bytecode,
        functions=tuple(_function_from_wire(function) for function in msg.functions),
        needed_by=tuple(Name(name) for name in msg.needed_by),
        metadata=dict(msg.metadata),
    )


def bytecode_words(bytecode: Bytecode) -> str:
    """Name where an object comes from, as a person would write it."""
    match bytecode:
        case BuiltinObject(name=name):
            return f"builtin:{name}"
        case PathObject(path=path, digest=digest):
            return path or digest
        case ImageObject(url=url):
            return url
        case _:
            assert_never(bytecode)


def attach_words(link: Link, interface: str = "") -> str:
    """Name what a link hangs on: `raw_syscalls/sys_enter`, `eth0 ingress`, `tcp_connect+0x10`."""
    match link:
        case TracepointLink(name=name):
            return name
        case KprobeLink(function=function, offset=offset):
            return _with_offset(function, offset)
        case UprobeLink(target=target, function=function, offset=offset):
            inside = f" of process {link.container_pid}" if link.container_pid else ""
            return f"{target}:{_with_offset(function, offset)}{inside}"
        case TcLink(direction=direction, netns=netns) | TcxLink(direction=direction, netns=netns):
            return f"{interface} {direction}{f' in {netns}' if netns else ''}".strip()
        case XdpLink(netns=netns):
            return f"{interface} in {netns}" if netns else interface
        case FentryLink() | FexitLink() | LsmLink():
            return ""
        case _:
            assert_never(link)


def _with_offset(function: str, offset: int) -> str:
    return f"{function}+{offset:#x}" if offset else function


def _function_to_wire(function: KernelFunctionStatus) -> pb.KernelFunction:
    return pb.KernelFunction(
        name=function.name,
        type=function.type.value,
        id=function.id,
        tag=function.tag,
        map_ids=list(function.map_ids),
        map_pin_path=function.map_pin_path,
        links=[_link_to_wire(link) for link in function.links],
        run_seconds=function.run_seconds,
        runs=function.runs,
    )


def _link_to_wire(link: LinkStatus) -> pb.KernelLink:
    of_pod = f" of pod {link.pod}" if link.pod else ""
    return pb.KernelLink(id=link.id, attach=f"{attach_words(link.attach, link.interface)}{of_pod}")


def _function_from_wire(msg: pb.KernelFunction) -> KernelFunctionInfo:
    return KernelFunctionInfo(
        name=msg.name,
        type=msg.type,
        id=msg.id,
        tag=msg.tag,
        map_ids=tuple(msg.map_ids),
        map_pin_path=msg.map_pin_path,
        links=tuple(KernelLinkInfo(id=link.id, attach=link.attach) for link in msg.links),
        run_seconds=msg.run_seconds,
        runs=msg.runs,
    )
