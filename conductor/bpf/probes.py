"""One probe for each feature: from files where they tell, else by trying the kernel.

What is tried is the smallest program of a type, or a link to nothing: a kernel that knows the kind of link complains
about the target and not about the request.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from conductor.bpf import perf
from conductor.bpf.kinds import AttachType, MapKind, ProgramKind
from conductor.bpf.library import PACKAGE, function, libbpf_version
from conductor.bpf.link_create import create_link
from conductor.bpf.map_create import create_map
from conductor.bpf.program_load import load_smallest, may_load
from conductor.bpf.stats import run_stats
from conductor.bpf.support import YES, Answer, Feature, Support
from conductor.bpf.tracefs import tracefs
from conductor.errors import ConductorError, LibraryMissing, NotSupported

__all__ = ["PROBES", "kernel_version"]

_NOBODY = 0x7FFFFFFF
"""An interface index and a descriptor that nobody has."""


def kernel_version() -> tuple[int, int]:
    """Return (major, minor) of the running kernel."""
    found = re.match(r"(\d+)\.(\d+)", os.uname().release)
    return (int(found[1]), int(found[2])) if found else (0, 0)


# --- from files -------------------------------------------------------------------------------------------------------


def _libbpf() -> Support:
    try:
        libbpf_version()
    except LibraryMissing:
        return Support(Answer.NO, PACKAGE)
    return YES


def _btf() -> Support:
    found = Path("/sys/kernel/btf/vmlinux").exists()
    return YES if found else Support(Answer.NO, "a kernel built with CONFIG_DEBUG_INFO_BTF")


def _file_system(name: str, option: str) -> Callable[[], Support]:
    def ask() -> Support:
        names = Path("/proc/filesystems").read_text(encoding="utf-8").split()
        return YES if name in names else Support(Answer.NO, f"a kernel built with {option}")

    return ask


def _tracefs() -> Support:
    known = _file_system("tracefs", "CONFIG_TRACING")()
    if known.answer is not Answer.YES:
        return known
    try:
        with tracefs():
            return YES
    except NotSupported as error:
        return Support(Answer.UNKNOWN, str(error))


def _since(major: int, minor: int) -> Support:
    enough = kernel_version() >= (major, minor)
    return YES if enough else Support(Answer.NO, f"kernel {major}.{minor}")


def _event_source(name: str, option: str) -> Callable[[], Support]:
    def ask() -> Support:
        if perf.pmu_type(name) is None:
            return Support(Answer.NO, f"a kernel built with {option}")
        return _perf_link()

    return ask


# --- by trying --------------------------------------------------------------------------------------------------------


def _refusal(error: OSError, needs: str) -> Support:
    """Read a refused try: only what the kernel says about itself is a NO."""
    if error.errno == errno.EPERM:
        if may_load():
            return Support(Answer.NO, f"a kernel whose policy permits it ({needs})")
        return Support(Answer.UNKNOWN, "asking needs CAP_BPF: ask as root")
    if error.errno in (errno.EINVAL, errno.E2BIG, errno.EOPNOTSUPP, errno.ENOSYS):
        return Support(Answer.NO, needs)
    return Support(Answer.UNKNOWN, f"asking failed: {error.strerror}")


def _program(kind: ProgramKind, needs: str, expected: int = 0, target: tuple[str, ...] = ()) -> Callable[[], Support]:
    def ask() -> Support:
        ids = [function("libbpf_find_vmlinux_btf_id")(name.encode(), expected) for name in target]
        known = [number for number in ids if number > 0]
        if target and not known:
            return Support(Answer.NO, needs)
        try:
            load_smallest(kind, expected_attach_type=expected, attach_btf_id=known[0] if known else 0).close()
        except OSError as error:
            return _refusal(error, needs)
        return YES

    return ask


def _link(kind: ProgramKind, attach: AttachType, needs: str, telling: tuple[int, ...]) -> Callable[[], Support]:
    """Ask for a link to what does not exist: a kernel that knows the kind of link complains about the target."""

    def ask() -> Support:
        try:
            with load_smallest(kind) as program:
                create_link(program.fileno(), _NOBODY, attach).close()
        except OSError as error:
            return YES if error.errno in telling else _refusal(error, needs)
        return Support(Answer.UNKNOWN, "the kernel linked a program to nothing")

    return ask


_perf_link = _link(ProgramKind.TRACEPOINT, AttachType.PERF_EVENT, "kernel 5.15", (errno.EBADF,))


def _tracepoint() -> Support:
    places = _tracefs()
    return places if places.answer is not Answer.YES else _perf_link()


def _ring_buffer() -> Support:
    try:
        create_map(MapKind.RINGBUF, key_size=0, value_size=0, max_entries=4096 * 16).close()
    except ConductorError as error:
        cause = error.__cause__
        return _refusal(cause, "kernel 5.8") if isinstance(cause, OSError) else Support(Answer.UNKNOWN, str(error))
    return YES


def _run_stats() -> Support:
    try:
        run_stats().close()
    except ConductorError as error:
        cause = error.__cause__
        return _refusal(cause, "kernel 5.8") if isinstance(cause, OSError) else Support(Answer.UNKNOWN, str(error))
    return YES


_TRAMPOLINE = "kernel 5.5 with BTF and BPF trampolines"
PROBES: Mapping[Feature, Callable[[], Support]] = {
    Feature.LIBBPF: _libbpf,
    Feature.BTF: _btf,
    Feature.BPFFS: _file_system("bpf", "CONFIG_BPF_SYSCALL"),
    Feature.TRACEFS: _tracefs,
    Feature.CGROUP2: _file_system("cgroup2", "CONFIG_CGROUPS"),
    Feature.UNPRIVILEGED_MAPS: lambda: _since(5, 19),
    Feature.RING_BUFFER: _ring_buffer,
    Feature.RUN_STATS: _run_stats,
    Feature.PERF_LINK: _perf_link,
    Feature.TRACEPOINT: _tracepoint,
    Feature.RAW_TRACEPOINT: _program(ProgramKind.RAW_TRACEPOINT, "kernel 4.17"),
    Feature.KPROBE: _event_source("kprobe", "CONFIG_KPROBE_EVENTS"),
    Feature.UPROBE: _event_source("uprobe", "CONFIG_UPROBE_EVENTS"),
    Feature.PERF_EVENT: _program(ProgramKind.PERF_EVENT, "kernel 4.9"),
    Feature.FENTRY: _program(
        ProgramKind.TRACING,
        _TRAMPOLINE,
        AttachType.TRACE_FENTRY,
        ("vfs_getattr", "vfs_read", "do_exit"),
    ),
    Feature.LSM: _program(
        ProgramKind.LSM,
        "kernel 5.7 with CONFIG_BPF_LSM and bpf among its security modules (lsm=…,bpf)",
        AttachType.LSM_MAC,
        ("file_open",),
    ),
    Feature.ITERATOR: _program(ProgramKind.TRACING, "kernel 5.8 with BTF", AttachType.TRACE_ITER, ("task",)),
    Feature.XDP: _program(ProgramKind.XDP, "kernel 5.9"),
    Feature.TC: _program(ProgramKind.SCHED_CLS, "kernel 4.1 with CONFIG_NET_CLS_BPF"),
    Feature.TCX: _link(ProgramKind.SCHED_CLS, AttachType.TCX_INGRESS, "kernel 6.6", (errno.ENODEV,)),
    Feature.CGROUP: _program(ProgramKind.CGROUP_SKB, "kernel 5.7 with CONFIG_CGROUP_BPF"),
}
