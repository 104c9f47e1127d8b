"""The three answers of a probe, and what can be asked for."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, StrEnum

__all__ = ["YES", "Answer", "Feature", "Support"]


class Answer(Enum):
    """What a probe found."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Support:
    """One answer; `needs` says what would help (NO) or why it could not be told (UNKNOWN)."""

    answer: Answer
    needs: str = ""

    def __bool__(self) -> bool:
        raise TypeError("three answers are no boolean: compare `answer`")


YES = Support(Answer.YES)


class Feature(StrEnum):
    """What can be asked for."""

    LIBBPF = "libbpf"
    BTF = "BTF"
    BPFFS = "bpffs"
    TRACEFS = "tracefs"
    CGROUP2 = "cgroup v2"
    UNPRIVILEGED_MAPS = "maps without capabilities"
    RING_BUFFER = "ring buffer"
    RUN_STATS = "run statistics"
    PERF_LINK = "perf link"
    TRACEPOINT = "tracepoint"
    RAW_TRACEPOINT = "raw tracepoint"
    KPROBE = "kprobe"
    UPROBE = "uprobe"
    PERF_EVENT = "perf event"
    FENTRY = "fentry"
    LSM = "LSM"
    ITERATOR = "iterator"
    XDP = "XDP"
    TC = "tc"
    TCX = "TCX"
    CGROUP = "cgroup hook"
