"""Why libbpf's load failed: its words and the kernel's, sorted into our errors."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Sequence

from conductor.bpf.program_load import may_load
from conductor.bpf.refusals import ENOTSUPP, refused
from conductor.errors import ConductorError, KernelRefused, NotSupported, ObjectUnreadable, VerifierRejected

__all__ = ["last_words", "why_refused"]

_BEGIN = re.compile(r"^libbpf: prog '(?P<name>.*)': -- BEGIN PROG LOAD LOG --$")
_FAILED = re.compile(r"^libbpf: prog '(?P<name>.*)': BPF program load failed: ")
_MAP = re.compile(r"^libbpf: (?:map '(?P<map>.*)': failed to create|Error in bpf_create_map_xattr\((?P<old>[^)]*)\))")
_CONSEQUENCE = ("libbpf: failed to load object", "libbpf: failed to load program")
_NO_BTF = ("kernel BTF", "target BTF", "vmlinux")
_BTF = "CO-RE needs this kernel's BTF, at /sys/kernel/btf/vmlinux (CONFIG_DEBUG_INFO_BTF) or in the file that was given"
_OWN_NUMBERS = 4000
"""Where libbpf's own error numbers begin."""
_PRIVILEGE = "the caller lacks CAP_BPF, with CAP_PERFMON for tracing and CAP_NET_ADMIN for network programs"
_POLICY = "this kernel's policy forbids this type of program, though others load; no privilege helps"


def last_words(said: Sequence[str]) -> str:
    """The last line that is a cause rather than a consequence, without libbpf's prefix."""
    causes = [line for line in said if line.strip() and not line.startswith(_CONSEQUENCE)]
    return causes[-1].removeprefix("libbpf: ").strip() if causes else ""


def why_refused(said: Sequence[str], number: int, name: str) -> ConductorError:
    """Make the error for a failed load of object `name` from what was said and the error number."""
    program, log = _verifier_log(said)
    if log:
        return VerifierRejected(program, log)
    error = OSError(number, _word(number))
    for line in said:
        if found := _MAP.match(line):
            return refused(error, f"{name}: map {found['map'] or found['old']} could not be made", as_=KernelRefused)
        if "missing BPF prog type" in line:
            return ObjectUnreadable(f"{name}: {line.removeprefix('libbpf: ')}; state the program's type")
        if any(words in line for words in _NO_BTF):
            return NotSupported(f"{name}: {line.removeprefix('libbpf: ')}; {_BTF}")
    if program and number == errno.EPERM:
        kind, helps = (NotSupported, _POLICY) if may_load() else (KernelRefused, _PRIVILEGE)
        return refused(error, f"{program}: the kernel refused the load", helps=helps, as_=kind)
    if program and number == errno.EINVAL:
        helps = "this kernel knows no program of this type or attach type; see conductor doctor"
        return refused(error, f"{program}: the kernel refused the load without a log", helps=helps, as_=NotSupported)
    return refused(error, f"{program or name}: {last_words(said) or 'load failed'}", as_=_kind(number))


def _word(number: int) -> str:
    if number >= _OWN_NUMBERS:
        return "libbpf cannot make sense of it"
    return "not supported" if number == ENOTSUPP else os.strerror(number)


def _kind(number: int) -> type[ConductorError]:
    return NotSupported if number in (ENOTSUPP, errno.EOPNOTSUPP) else KernelRefused


def _verifier_log(said: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """Name of the failed program and the verifier's lines, libbpf's warnings before them kept in front."""
    program = ""
    for index, line in enumerate(said):
        if failed := _FAILED.match(line):
            program = failed["name"]
        elif begin := _BEGIN.match(line):
            rest = said[index + 1 :]
            ends = next((i for i, text in enumerate(rest) if "-- END PROG LOAD LOG --" in text), len(rest))
            lines = [text for text in rest[:ends] if text.strip()]
            return begin["name"], (*said[:index], *lines) if _says_more(lines) else ()
    return program, ()


def _says_more(lines: Sequence[str]) -> bool:
    """Whether the verifier said anything but its closing counts."""
    return any(not text.startswith("processed ") for text in lines)
