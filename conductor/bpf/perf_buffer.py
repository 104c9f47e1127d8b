"""Perf buffers (BPF_MAP_TYPE_PERF_EVENT_ARRAY): why their records cannot be had without privilege.

A reader opens one software event for each CPU (perf_event_open(2), PERF_COUNT_SW_BPF_OUTPUT), puts it into the map and
maps its pages. An event of a whole CPU takes CAP_PERFMON unless kernel.perf_event_paranoid is 0 or less, whatever the
map's pin allows; one of the own process alone is to be had, and bpf_perf_event_output(2) finds it only while that runs.
"""

from __future__ import annotations

import errno
import os

from conductor.bpf.perf import PerfAttribute, open_event
from conductor.bpf.refusals import refused
from conductor.errors import ConductorError, NotSupported
from conductor.model.grants import MapInfo

__all__ = ["perf_buffer_refusal"]

_SOFTWARE, _BPF_OUTPUT, _RAW = 1, 10, 1 << 10
_HELP = "let the kernel program use a ring buffer (BPF_MAP_TYPE_RINGBUF, kernel 5.8) instead"


def perf_buffer_refusal(info: MapInfo) -> ConductorError:
    """Answer what this kernel says to who wants to read a perf buffer, and what helps."""
    attribute = PerfAttribute(type=_SOFTWARE, config=_BPF_OUTPUT, sample=1, sample_type=_RAW)
    doing = f"reading perf buffer {info.name} failed"
    try:
        open_event(attribute, cpu=min(os.sched_getaffinity(0))).close()
    except OSError as error:
        needs = "events of a whole CPU take CAP_PERFMON, which an agent does not have"
        helps = f"{needs}; {_HELP}" if error.errno in (errno.EACCES, errno.EPERM) else _HELP
        return refused(error, doing, helps=helps, as_=NotSupported)
    return NotSupported(f"{doing}: this version reads ring buffers alone; {_HELP}")
