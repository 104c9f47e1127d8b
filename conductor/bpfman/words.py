"""What bpfman's daemons say of a refusal, told apart by their words: their codes do not tell.

Seen of Rust 0.6.0 and of the Go daemon; the conformance suite shows each again.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from conductor.errors import (
    ConductorError,
    InvalidSpec,
    KernelAway,
    KernelRefused,
    NotFound,
    NotSupported,
    ObjectUnreadable,
)

__all__ = ["saying", "verifier_said"]

Told = Callable[[re.Match[str]], ConductorError]


def _global(problem: str) -> Told:
    return lambda match: InvalidSpec("global_data", problem.format(*match.groups()))


def _program(problem: str) -> Told:
    return lambda match: InvalidSpec("programs", problem.format(*match.groups()))


def _found(sentence: str) -> Told:
    return lambda match: NotFound(sentence.format(*match.groups()))


def _supported(sentence: str) -> Told:
    return lambda match: NotSupported(sentence.format(*match.groups()))


def _unreadable(match: re.Match[str]) -> ConductorError:
    return ObjectUnreadable(match.string)


def _symbol(match: re.Match[str]) -> ConductorError:
    return NotFound(f"there is no such symbol or file where the daemon looks: {match.string}")


def _netns(match: re.Match[str]) -> ConductorError:
    return InvalidSpec("netns", f"the daemon cannot enter that network namespace: {match.string}")


def _helper(match: re.Match[str]) -> ConductorError:
    helps = "bpfman 0.6 (Rust) does that by its helper bpfman-ns, which must lie beside it; its log has the reason"
    return KernelRefused(f"{match.string}: {helps}")


def _forbidden(match: re.Match[str]) -> ConductorError:
    helps = "this kernel forbids programs of that type, or the daemon lacks CAP_BPF, CAP_PERFMON or CAP_NET_ADMIN"
    return KernelRefused(f"{match.string}: {helps}; under bpfman XDP and TC need freplace too")


def _section(match: re.Match[str]) -> ConductorError:
    helps = 'bpfman 0.6 (Rust) reads no such section; for TCX write SEC("classifier")'
    return ObjectUnreadable(f"{match.string}: {helps}")


_SAYINGS: tuple[tuple[str, Told], ...] = (
    # Said before anything is touched, after waiting for another call: as if the request had not arrived.
    (r"Failed to acquire database lock", lambda _: KernelAway("bpfman is busy with another call; it is tried again")),
    (r"symbol with name (\S+) not found in the symbols table", _global("the object has no global {}")),
    (r"symbol (\S+) has size `(\d+)`, but provided data", _global("{} has {} bytes")),
    (r'global variable "(\S+)" not found in program; (available: .*)', _global("the object has no global {}; {}")),
    (r'set variable "(\S+)": .* doesn\'t marshal to (\d+) bytes', _global("{} has {} bytes")),
    (r'BpfFunctionNameNotValid\("(.+?)"\)', _program("the object has no program {}")),
    (r"program\(s\) not found in object file: \[(.*?)\]; (.*)", _program("the object has no program {}; {}")),
    (r"(program type mismatch: .*)", _program("{}")),
    (r"invalid program section", _section),
    (r"error parsing BPF object|can't open file|object file \S+: stat|bad magic number", _unreadable),
    (r"events/([^/`]+)/([^/`]+)/id", _found("this kernel has no tracepoint {}/{}")),
    (r"tracepoint (\S+) not found(.*)", _found("this kernel has no tracepoint {}{}")),
    (r"Invalid Interface|no such network interface", _found("there is no such interface where the daemon looks")),
    (r"LoadError \{ io_error: Os \{ code: 1,|load program: operation not permitted", _forbidden),
    (r"Failed to open target netns|setns error", _netns),
    (r"Unable to attach uprobe in container", _helper),
    (r"error resolving symbol|symbol \S+: not found|open executable", _symbol),
    (
        r"tracefs not found|neither debugfs nor tracefs",
        _supported("the daemon finds no tracefs: mount -t tracefs tracefs /sys/kernel/tracing, then restart it"),
    ),
    (
        r"event_source/devices/(kprobe|uprobe)/type",
        _supported("this kernel has no {}s (its perf has no such event source)"),
    ),
)
_COMPILED = tuple((re.compile(pattern), told) for pattern, told in _SAYINGS)
_RUST_LOG = re.compile(r"verifier_log: (.*\S)\s*\}\)\]\s*$", re.DOTALL)
_GO_PROGRAM = re.compile(r"load program (\S+): failed to load collection: .*?: load program: (.*)", re.DOTALL)


def saying(text: str) -> ConductorError | None:
    """Answer what a known sentence of a daemon means; None where the words are not known."""
    for pattern, told in _COMPILED:
        match = pattern.search(text)
        if match is not None:
            return told(match)
    return None


def verifier_said(text: str) -> tuple[str, tuple[str, ...]]:
    """Take the program's name, where it is told, and the verifier's lines out of a daemon's sentence."""
    if rust := _RUST_LOG.search(text):
        return "", tuple(rust[1].splitlines())
    if go := _GO_PROGRAM.search(text):
        return go[1], tuple(go[2].splitlines())
    program, colon, said = text.partition(": ")
    return (program if colon else ""), tuple((said or text).splitlines())
