"""Links of kernel programs, in bpfman's vocabulary: one section per type."""

from __future__ import annotations

from collections.abc import Mapping

from conductor.model.kernel import OTHER_NAMESPACE, Direction, KernelType
from conductor.model.schema.containers import CONTAINERS, NETWORK_NAMESPACES
from conductor.model.schema.rules import (
    AnyOf,
    Begins,
    ExactlyOne,
    Is,
    Matches,
    NeededFor,
    Needs,
    NotBoth,
    OnlyFor,
    Rule,
)
from conductor.model.schema.tree import Node, flag, integer, items, record, text, word

__all__ = ["SECTIONS", "SECTION_RULES", "TC_VERDICTS", "XDP_VERDICTS"]

XDP_VERDICTS = ("Aborted", "Drop", "Pass", "TX", "ReDirect", "DispatcherReturn")
TC_VERDICTS = (
    "UnSpec",
    "OK",
    "ReClassify",
    "Shot",
    "Pipe",
    "Stolen",
    "Queued",
    "Repeat",
    "ReDirect",
    "Trap",
    "DispatcherReturn",
)
LINKS = 64
_FIXED = {KernelType.FENTRY: "function", KernelType.FEXIT: "function", KernelType.LSM: "hook"}

_INTERFACES = record(
    "Interfaces to attach to: exactly one of the three forms.",
    {
        "interfaces": items("Names of interfaces.", text("A name.", most=15), most=64, least=1),
        "primaryNodeInterface": flag(
            "The interface of the default route.", rules=(Is(message="can only be true; or choose another form"),)
        ),
        "interfacesDiscoveryConfig": record(
            "Every interface there is, those that come later too.",
            {
                "interfaceAutoDiscovery": flag(
                    "Follow interfaces as they come and go.",
                    default=True,
                    rules=(Is(message="can only be true; or choose another form"),),
                ),
                "excludeInterfaces": items(
                    "Names to leave out; lo where this is left out.", text("A name.", most=256), most=64
                ),
                "allowedInterfaces": items(
                    "Names, or regular expressions between slashes, as in /veth.*/; all where this is left out.",
                    text("A name or /regular expression/.", most=256),
                    most=64,
                ),
            },
        ),
    },
    rules=(
        ExactlyOne(
            groups=(("interfaces",), ("primaryNodeInterface",), ("interfacesDiscoveryConfig",)),
            message="needs exactly one of interfaces, primaryNodeInterface, interfacesDiscoveryConfig",
        ),
    ),
)


_NET: Mapping[str, Node] = {
    "interfaceSelector": _INTERFACES,
    "priority": integer("Order among programs of one interface: lower runs first.", most=1000, default=1000),
    "netns": text(
        "Network namespace, as a path that the daemon can open.",
        most=4096,
        rules=(Begins(prefix="/", message="must be absolute, like /run/netns/NAME"),),
    ),
    "networkNamespaces": NETWORK_NAMESPACES,
}
_DIRECTION = word(
    "Direction of the packets.", [*(d.value.capitalize() for d in Direction), *(d.value for d in Direction)]
)
_NET_RULES: tuple[Rule, ...] = (
    NotBoth(
        fields=("netns", "networkNamespaces"),
        message="give networkNamespaces or netns, not both",
        field=".networkNamespaces",
    ),
    Needs(
        fields=("netns", "networkNamespaces"),
        needs="interfaceSelector.interfaces",
        message=OTHER_NAMESPACE,
        field=".interfaceSelector",
    ),
)


def _verdicts(words: tuple[str, ...], default: str) -> Node:
    about = f"Verdicts after which the next program of the interface runs; {default} where this is left out."
    return items(about, word("A verdict.", words), most=len(words))


_XDP = record(
    "An attachment.",
    {**_NET, "proceedOn": _verdicts(XDP_VERDICTS, "Pass and DispatcherReturn")},
    required=("interfaceSelector",),
    rules=_NET_RULES,
)
_TC = record(
    "An attachment.",
    {**_NET, "direction": _DIRECTION, "proceedOn": _verdicts(TC_VERDICTS, "Pipe and DispatcherReturn")},
    required=("interfaceSelector", "direction"),
    rules=_NET_RULES,
)
_TCX = record(
    "An attachment.",
    {**_NET, "direction": _DIRECTION},
    required=("interfaceSelector", "direction"),
    rules=_NET_RULES,
)
_TRACEPOINT = record(
    "An attachment.",
    {
        "name": text(
            "The tracepoint, as GROUP/NAME.",
            most=128,
            rules=(Matches(pattern="[^/.]+/[^/.]+", message="must be GROUP/NAME, like raw_syscalls/sys_enter"),),
        )
    },
    required=("name",),
)
_FUNCTION = text("A function of the kernel.", most=128)
_KPROBE = record(
    "An attachment.",
    {"function": _FUNCTION, "offset": integer("Bytes from the beginning of the function.", default=0)},
    required=("function",),
)
_KRETPROBE = record("An attachment.", {"function": _FUNCTION}, required=("function",))
_UPROBE = record(
    "An attachment.",
    {
        "target": text("Path of a program or library, or a library's name such as libc.", most=4096),
        "function": text("A symbol of the target.", most=1024),
        "offset": integer("Bytes from the symbol; without one, from the beginning of the file.", most=(1 << 53) - 1),
        "pid": integer("The one process that is watched; all of them where this is left out.", least=1),
        "containerPid": integer("A process of the container that holds the target, by its id on the host.", least=1),
        "containers": CONTAINERS,
    },
    required=("target",),
    rules=(
        AnyOf(
            fields=("function", "offset"), message="needs a function (symbol), an offset, or both", field=".function"
        ),
        NotBoth(
            fields=("containers", "containerPid"),
            message="give containers or containerPid, not both",
            field=".containers",
        ),
    ),
)
_MODE = record("An attachment.", {"mode": word("What the link does.", ("Attach",), default="Attach")})
_LINKS = {
    KernelType.XDP: _XDP,
    KernelType.TC: _TC,
    KernelType.TCX: _TCX,
    KernelType.TRACEPOINT: _TRACEPOINT,
    KernelType.KPROBE: _KPROBE,
    KernelType.KRETPROBE: _KRETPROBE,
    KernelType.UPROBE: _UPROBE,
    KernelType.URETPROBE: _UPROBE,
}


def _section(kind: KernelType) -> Node:
    about = f"For type {kind.value}."
    if kind in _LINKS:
        return record(about, {"links": items("Where it is attached.", _LINKS[kind], most=LINKS)})
    target = _FIXED[kind]
    what = "Hook" if target == "hook" else "Function"
    fields = {
        target: text(f"{what} of the kernel, fixed when the program is loaded.", most=128),
        "links": items("Whether it is attached.", _MODE, most=1),
    }
    return record(about, fields, required=(target,))


SECTIONS: Mapping[str, Node] = {kind.value.lower(): _section(kind) for kind in KernelType}
SECTION_RULES: tuple[Rule, ...] = (
    *(
        OnlyFor(
            only=kind.value.lower(),
            key="type",
            words=(kind.value,),
            message=f"is the section of type {kind.value}; a program has that of its own type only",
            field=f".{kind.value.lower()}",
        )
        for kind in KernelType
    ),
    *(
        NeededFor(
            needed=kind.value.lower(),
            key="type",
            words=(kind.value,),
            message=f"type {kind.value} needs its section {kind.value.lower()}, with {target}",
            field=f".{kind.value.lower()}",
        )
        for kind, target in _FIXED.items()
    ),
)
