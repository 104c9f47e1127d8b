"""Attach programs: each function answers an owned descriptor of a bpf_link, which may be pinned.

A link lives as long as a descriptor or a pin of it, whatever becomes of the process that made it.
"""

from __future__ import annotations

from conductor.bpf.link_create import detach_link, update_link
from conductor.bpf.link_net import TcxChain, XdpMode, cgroup, netns, tcx, tcx_chain, xdp
from conductor.bpf.link_perf import kprobe, perf_event, tracepoint, uprobe
from conductor.bpf.link_tracing import btf_tracepoint, iterator, raw_tracepoint, read_iterator, tracing
from conductor.bpf.tc import TcFilter, tc

__all__ = [
    "TcFilter",
    "TcxChain",
    "XdpMode",
    "btf_tracepoint",
    "cgroup",
    "detach_link",
    "iterator",
    "kprobe",
    "netns",
    "perf_event",
    "raw_tracepoint",
    "read_iterator",
    "tc",
    "tcx",
    "tcx_chain",
    "tracepoint",
    "tracing",
    "update_link",
    "uprobe",
    "xdp",
]
