"""Where a program is attached: one frozen word per kind of link, and its JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from conductor.model.kernel import Direction, KernelType

__all__ = [
    "HOOK_OF_TYPE",
    "Hook",
    "KprobeHook",
    "TcHook",
    "TcxHook",
    "TracepointHook",
    "TracingHook",
    "UprobeHook",
    "XdpHook",
    "hook_from_json",
    "hook_place",
    "hook_to_json",
    "hook_words",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class XdpHook:
    """One XDP program on an interface; `netns` is a path in the daemon's own view, empty for its own namespace."""

    interface: str
    netns: str = ""
    priority: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TcHook:
    """A program of bpfman's TC kind; attached through TCX, where its own return code decides who runs next."""

    interface: str
    direction: Direction
    netns: str = ""
    priority: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TcxHook:
    """A TCX link (kernel 6.6); the lower priority runs first."""

    interface: str
    direction: Direction
    netns: str = ""
    priority: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TracepointHook:
    """A tracepoint, `group/name`."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KprobeHook:
    """A kernel function."""

    function: str
    offset: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class UprobeHook:
    """A function or file offset of a binary or library, in the mount namespace of `container_pid` if one is given."""

    target: str
    function: str = ""
    offset: int = 0
    pid: int | None = None
    container_pid: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TracingHook:
    """The function or LSM hook that was fixed at load."""

    kind: Literal["fentry", "fexit", "lsm"]


Hook = XdpHook | TcHook | TcxHook | TracepointHook | KprobeHook | UprobeHook | TracingHook

_CLASSES: dict[str, type[Hook]] = {
    "xdp": XdpHook,
    "tc": TcHook,
    "tcx": TcxHook,
    "tracepoint": TracepointHook,
    "kprobe": KprobeHook,
    "uprobe": UprobeHook,
    "tracing": TracingHook,
}
_KINDS = {class_: kind for kind, class_ in _CLASSES.items()}
HOOK_OF_TYPE: Mapping[KernelType, str] = {
    KernelType.XDP: "xdp",
    KernelType.TC: "tc",
    KernelType.TCX: "tcx",
    KernelType.TRACEPOINT: "tracepoint",
    KernelType.KPROBE: "kprobe",
    KernelType.KRETPROBE: "kprobe",
    KernelType.UPROBE: "uprobe",
    KernelType.URETPROBE: "uprobe",
    KernelType.FENTRY: "fentry",
    KernelType.FEXIT: "fexit",
    KernelType.LSM: "lsm",
}
"""Which hook a program of each type can be attached to, as `hook_words` names it."""


def hook_words(hook: Hook) -> str:
    """Kind of a hook: xdp, tc, tcx, tracepoint, kprobe, uprobe, fentry, fexit, lsm."""
    return hook.kind if isinstance(hook, TracingHook) else _KINDS[type(hook)]


def hook_place(hook: Hook) -> str:
    """Tell kind and place in a few words: tcx eth0 ingress 50, tracepoint sock/inet_sock_set_state."""
    told = [value.value if isinstance(value, Direction) else value for value in asdict(hook).values() if value]
    return " ".join(map(str, [*([] if isinstance(hook, TracingHook) else [hook_words(hook)]), *told]))


def hook_to_json(hook: Hook) -> dict[str, Any]:
    """Write a hook as a JSON object."""
    return {"hook": _KINDS[type(hook)], **asdict(hook)}


def hook_from_json(raw: Mapping[str, Any]) -> Hook:
    """Read what `hook_to_json` wrote. Raises `KeyError`, `TypeError` or `ValueError`."""
    fields = dict(raw)
    class_ = _CLASSES[fields.pop("hook")]
    if "direction" in fields:
        fields["direction"] = Direction(fields["direction"])
    return class_(**fields)
