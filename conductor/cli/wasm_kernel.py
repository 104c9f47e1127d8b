"""A kernel half tried out: loaded and attached for as long as a command runs, without agent, loader or pins."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from conductor.bpf import links
from conductor.bpf.declarations import ProgramDecl
from conductor.bpf.descriptor import Descriptor
from conductor.bpf.maps import BpfMap
from conductor.bpf.objects import BpfObject
from conductor.cli.output import note
from conductor.errors import InvalidSpec, NotAllowed, NotYet, ObjectUnreadable
from conductor.loader.hooks import (
    Hook,
    KprobeHook,
    TcHook,
    TcxHook,
    TracepointHook,
    TracingHook,
    UprobeHook,
    XdpHook,
)
from conductor.loader.kinds import kind_of
from conductor.loader.links import make_link, place_of
from conductor.loader.records import LinkRecord
from conductor.model.ids import LinkId
from conductor.model.kernel import (
    InterfaceSelector,
    KernelFunctionSpec,
    KernelProgramSpec,
    KernelType,
    KprobeLink,
    Link,
    TcLink,
    TcxLink,
    TracepointLink,
    UprobeLink,
    XdpLink,
)
from conductor.model.program import ProgramSpec

__all__ = ["attached", "manifest_beside"]

Maker = Callable[[int], Descriptor]
MANIFESTS = ("manifest.yaml", "manifest.yml")


@contextmanager
def attached(path: Path, manifest: tuple[ProgramSpec, ...]) -> Iterator[Mapping[str, BpfMap]]:
    """Load and attach every program of an object; answers its maps by name. All is gone afterwards.

    Raises what loading and attaching does, `InvalidSpec` for a program whose target nobody names.
    """
    if os.geteuid() != 0:
        raise NotAllowed("loading eBPF needs root: sudo conductor wasm …")
    with ExitStack() as stack:
        opened = stack.enter_context(BpfObject.open(path))
        half = _of(opened, manifest)
        functions = {function.name: function for function in half.programs} if half else {}
        plans = {one.name: _makers(one, functions.get(one.name)) for one in opened.programs}
        for one in opened.programs:
            if one.type == 0 and one.name in functions:
                kind = kind_of(functions[one.name].type)
                opened.set_program_type(one.name, kind.program, kind.attach)
        for name, value in (half.global_data if half else {}).items():
            opened.set_global(name, value)
        opened.load()
        # Maps first: what the kernel puts there is waited for from the first moment on.
        maps = {
            one.name: stack.enter_context(BpfMap.from_fd(os.dup(opened.map_fd(one.name))))
            for one in opened.maps
            if not one.internal
        }
        for name, makers in plans.items():
            for make in makers:
                stack.enter_context(make(opened.program_fd(name)))
        note(f"attached {path.name}: {', '.join(plans)}")
        yield maps


def manifest_beside(file: Path) -> tuple[ProgramSpec, ...]:
    """Wishes of the manifest in the same folder; none where there is none. Raises `InvalidSpec`."""
    from conductor.api.manifests import specs_of  # noqa: PLC0415 - only where there is one

    for name in MANIFESTS:
        path = file.resolve().parent / name
        if path.is_file():
            try:
                return specs_of(path.read_text())
            except OSError as exc:
                raise ObjectUnreadable(f"{path}: {exc.strerror}") from exc
            except InvalidSpec as exc:
                raise InvalidSpec(f"{path}: {exc.field}", exc.problem) from exc
    return ()


def _of(opened: BpfObject, manifest: tuple[ProgramSpec, ...]) -> KernelProgramSpec | None:
    """The kernel program of a manifest that this object can be: it has all its functions."""
    there = {one.name for one in opened.programs}
    halves = (spec for spec in manifest if isinstance(spec, KernelProgramSpec))
    return next((half for half in halves if {function.name for function in half.programs} <= there), None)


def _makers(one: ProgramDecl, function: KernelFunctionSpec | None) -> list[Maker]:
    word, _, target = one.section.lstrip("?").partition("/")
    word = word.removesuffix(".s").removesuffix(".multi")
    if target and word in _BY_SECTION:
        return [_BY_SECTION[word](target)]
    if function is None or not function.links:
        raise InvalidSpec(
            one.name, f"section {one.section!r} names no target; say it in manifest.yaml beside the module or object"
        )
    return [_hooked(hook, function.type) for link in function.links for hook in _hooks(link, function.type)]


def _hooked(hook: Hook, type_: KernelType) -> Maker:
    return lambda fd: make_link(fd, type_, LinkRecord(id=LinkId(1), hook=hook, place=place_of(hook)), ())


def _tracepoint(target: str) -> Maker:
    return _hooked(TracepointHook(name=target), KernelType.TRACEPOINT)


def _probe(type_: KernelType) -> Callable[[str], Maker]:
    def maker(target: str) -> Maker:
        name, _, offset = target.partition("+")
        return _hooked(KprobeHook(function=name, offset=int(offset or "0", 0)), type_)

    return maker


def _uprobe(type_: KernelType) -> Callable[[str], Maker]:
    def maker(target: str) -> Maker:
        binary, _, symbol = target.rpartition(":")
        name, _, offset = symbol.partition("+")
        return _hooked(UprobeHook(target=binary, function=name, offset=int(offset or "0", 0)), type_)

    return maker


def _traced(_target: str) -> Maker:
    return links.tracing


_BY_SECTION: Mapping[str, Callable[[str], Maker]] = {
    "tracepoint": _tracepoint,
    "tp": _tracepoint,
    "raw_tracepoint": lambda target: lambda fd: links.raw_tracepoint(fd, target),
    "raw_tp": lambda target: lambda fd: links.raw_tracepoint(fd, target),
    "tp_btf": lambda _: links.btf_tracepoint,
    "kprobe": _probe(KernelType.KPROBE),
    "kretprobe": _probe(KernelType.KRETPROBE),
    "uprobe": _uprobe(KernelType.UPROBE),
    "uretprobe": _uprobe(KernelType.URETPROBE),
    "fentry": _traced,
    "fexit": _traced,
    "lsm": _traced,
}


def _hooks(link: Link, type_: KernelType) -> list[Hook]:
    """The loader's words for a manifest's link."""
    if getattr(link, "containers", None) is not None:
        raise NotYet("trying out looks for no containers; give netns or containerPid instead")
    match link:
        case XdpLink():
            names = _interfaces(link.interfaces)
            return [XdpHook(interface=name, netns=link.netns or "", priority=link.priority) for name in names]
        case TcLink() | TcxLink():
            made = TcHook if isinstance(link, TcLink) else TcxHook
            netns, priority = link.netns or "", link.priority
            return [
                made(interface=name, direction=link.direction, netns=netns, priority=priority)
                for name in _interfaces(link.interfaces)
            ]
        case TracepointLink():
            return [TracepointHook(name=link.name)]
        case KprobeLink():
            return [KprobeHook(function=link.function, offset=link.offset)]
        case UprobeLink():
            return [
                UprobeHook(
                    target=link.target,
                    function=link.function,
                    offset=link.offset,
                    pid=link.pid,
                    container_pid=link.container_pid,
                )
            ]
        case _:
            kinds = {KernelType.FENTRY: "fentry", KernelType.FEXIT: "fexit", KernelType.LSM: "lsm"}
            return [TracingHook(kind=kinds[type_])]  # type: ignore[arg-type] # one of the three


def _interfaces(selector: InterfaceSelector) -> tuple[str, ...]:
    if not selector.names:
        raise NotYet("trying out takes interfaces by name; write interfaceSelector: {interfaces: […]} in the manifest")
    return selector.names
