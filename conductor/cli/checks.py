"""What `doctor` looks at: each check gives lines with one of three answers, and says what would help."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from conductor.cli.roads import ask, grants_of
from conductor.cli.view import closed, code
from conductor.config import Config
from conductor.errors import ConductorError, InvalidConfig, KernelAway
from conductor.managers.disk import disk_problem
from conductor.model.agent import AgentInfo
from conductor.privilege import identity_of

__all__ = ["Answer", "Finding", "files", "kernel", "road"]

_NEEDED_KERNEL = (5, 19)


class Answer(StrEnum):
    """The three answers."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "could not tell"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line: what was asked, the answer, what was found or what would help."""

    area: str
    name: str
    answer: Answer
    detail: str = ""
    fatal: bool = False
    """The agent could not start."""


def kernel() -> Iterator[Finding]:
    """Version and features of the running kernel, and libbpf."""
    from conductor.bpf.features import Feature, kernel_version, probe_all  # noqa: PLC0415 - opens libbpf
    from conductor.bpf.library import libbpf_version  # noqa: PLC0415 - as above

    version = kernel_version()
    enough = version >= _NEEDED_KERNEL
    release = os.uname().release
    yield Finding(
        area="kernel",
        name="version",
        answer=Answer.YES if enough else Answer.NO,
        detail=release if enough else f"{release}; an agent without capabilities reads maps from 5.19 on",
    )
    for feature, support in probe_all().items():
        answer = {"yes": Answer.YES, "no": Answer.NO}.get(support.answer.value, Answer.UNKNOWN)
        detail = f"needs {support.needs}" if answer is Answer.NO else support.needs
        if feature is Feature.LIBBPF and answer is Answer.YES:
            detail = ".".join(map(str, libbpf_version()))
        yield Finding(area="kernel", name=str(feature), answer=answer, detail=detail)


def road(config: Config, info: AgentInfo | None) -> Iterator[Finding]:
    """Who answers on the sockets, and which road the agent takes."""
    for name, path, helps in (
        ("bpfman", config.bpfman_socket, "only needed for --kernel bpfman"),
        ("loader", config.loader_socket, "start it with `sudo conductor up`"),
    ):
        listens = _listens(name, path, helps)
        yield listens if listens.answer is not Answer.YES else _answers(name, path)
    if info is None:
        yield _listens("agent", config.agent_socket, "start it with `sudo conductor up`")
        return
    yield Finding(area="road", name="agent", answer=Answer.YES, detail=f"{info.version} on {config.agent_socket}")
    flavour = " ".join(filter(None, (info.road, info.flavour, info.road_version)))
    answer = Answer.YES if info.road_connected else Answer.NO
    yield Finding(area="road", name="road in use", answer=answer, detail=info.road_problem or flavour)
    yield from _grants(config, info)
    ready = Answer.YES if info.ready else Answer.NO
    yield Finding(area="road", name="ready", answer=ready, detail="; ".join(info.reasons))


def files(config: Config, *, agent_runs: bool) -> Iterator[Finding]:
    """Rights, folders, and the address: what an agent needs to start."""
    try:
        identity = identity_of(config.identity)
    except InvalidConfig as exc:
        yield Finding(area="permissions", name="user", answer=Answer.NO, detail=str(exc), fatal=True)
        return
    is_root = os.geteuid() == 0
    detail = identity.words if is_root else "not root: kernel programs need `sudo conductor up`"
    yield Finding(
        area="permissions",
        name="load eBPF",
        answer=Answer.YES if is_root else Answer.NO,
        detail="" if is_root else detail,
    )
    yield Finding(area="permissions", name="agent's user", answer=Answer.YES, detail=identity.words)
    hidden = closed(code(), identity)
    yield Finding(
        area="permissions",
        name="code is readable",
        answer=Answer.NO if hidden else Answer.YES,
        detail=f"{hidden[0].behind} is closed to {identity.words}; `conductor up` arranges that" if hidden else "",
        fatal=bool(hidden) and not is_root,
    )
    for name, path in (
        ("state", config.agent.state_dir),
        ("cache", config.agent.cache_dir),
        ("sockets", config.agent_socket.parent),
    ):
        yield _folder(name, path)
    yield _address(config, agent_runs=agent_runs)


def _answers(name: str, path: Path) -> Finding:
    """Which daemon it is and what it can do."""
    told = ask(path)
    if isinstance(told, ConductorError):
        answer = Answer.UNKNOWN if isinstance(told, KernelAway) else Answer.NO
        return Finding(area="road", name=name, answer=answer, detail=f"{path}: {told}")
    flavour, can, _ = told
    return Finding(area="road", name=name, answer=Answer.YES, detail=f"{flavour} on {path}: {can}")


def _grants(config: Config, info: AgentInfo) -> Iterator[Finding]:
    """Who keeps programs within their grants on the road in use."""
    if not info.road_connected:
        return
    assistant = ask(config.loader_socket) if info.flavour.startswith("bpfman") else None
    told = assistant if assistant and not isinstance(assistant, ConductorError) else grants_of(info.flavour)
    detail = told if isinstance(told, str) else told[2]
    kernel = Answer.YES if detail == "by the kernel" else Answer.NO
    yield Finding(area="road", name="grants enforced", answer=kernel, detail=detail)


def _listens(name: str, path: Path, helps: str) -> Finding:
    """Connect and hang up; a socket without a server is told apart from none."""
    answer, detail = Answer.YES, str(path)
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1)
        try:
            probe.connect(str(path))
        except FileNotFoundError:
            answer, detail = Answer.NO, f"{path} is not there; {helps}"
        except ConnectionRefusedError:
            answer, detail = Answer.NO, f"nobody serves {path}; {helps}"
        except PermissionError:
            answer, detail = Answer.UNKNOWN, f"{path} may not be used by you: ask as root"
        except OSError as exc:
            answer, detail = Answer.UNKNOWN, f"{path}: {exc.strerror or exc}"
    return Finding(area="road", name=name, answer=answer, detail=detail)


def _folder(name: str, path: Path) -> Finding:
    there = next(folder for folder in (path, *path.parents) if folder.exists())
    if full := disk_problem(there):
        return Finding(area="permissions", name=f"{name} folder", answer=Answer.NO, detail=full)
    if os.access(there, os.W_OK | os.X_OK):
        return Finding(area="permissions", name=f"{name} folder", answer=Answer.YES, detail=str(path))
    helps = f"{there} cannot be written; start as root or choose another place"
    return Finding(area="permissions", name=f"{name} folder", answer=Answer.NO, detail=helps, fatal=True)


def _address(config: Config, *, agent_runs: bool) -> Finding:
    name = "HTTP address"
    if agent_runs:
        return Finding(
            area="permissions", name=name, answer=Answer.YES, detail=f"{config.http_address}, the agent runs"
        )
    family = socket.AF_INET6 if ":" in config.http.host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((config.http.host, config.http.port))
        except OSError as exc:
            helps = f"{config.http_address}: {exc.strerror}; choose another --http-address"
            return Finding(area="permissions", name=name, answer=Answer.NO, detail=helps, fatal=True)
    return Finding(area="permissions", name=name, answer=Answer.YES, detail=config.http_address)
