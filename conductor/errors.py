"""The tree of errors: each class carries the status code, the reason and whether trying again can help.

Every error that leaves a package of ours is a `ConductorError`. Foreign exceptions (gRPC, OS, YAML) are translated
where the foreign library is called. `api/status.py` and `plan/conditions.py` project the tree on replies and states.
"""

from __future__ import annotations

from enum import Enum
from typing import ClassVar

__all__ = [
    "AddressInUse",
    "AgentStopping",
    "AgentUnreachable",
    "AlreadyExists",
    "AnswerLost",
    "BudgetExceeded",
    "BuildFailed",
    "CallBudget",
    "ClusterAway",
    "ClusterConflict",
    "ClusterInvalid",
    "ClusterRefused",
    "Code",
    "CompileBudget",
    "ConductorError",
    "DeadlineExceeded",
    "HistoryGone",
    "ImageDamaged",
    "ImageNotFound",
    "ImagePending",
    "ImageTooLarge",
    "ImageUntrusted",
    "ImageUnusable",
    "InvalidConfig",
    "InvalidSpec",
    "KernelAway",
    "KernelRefused",
    "LeadershipLost",
    "LibraryMissing",
    "MapMismatch",
    "MapMissing",
    "MessageTooLarge",
    "MetricClash",
    "ModuleUnusable",
    "NameTaken",
    "NoKernelRoad",
    "NotAllowed",
    "NotFound",
    "NotSupported",
    "NotYet",
    "ObjectUnreadable",
    "PathNotAllowed",
    "PrivilegesKept",
    "ProgramCrashed",
    "ProgramExited",
    "ProgramStuck",
    "ProgramTrapped",
    "PullSecretNotAllowed",
    "PullSecretUnusable",
    "RegistryAway",
    "RegistryRefused",
    "RevisionMissing",
    "RevisionUnusable",
    "SignaturesUnjudged",
    "SourceHolds",
    "StateUnwritable",
    "StoreFull",
    "TickFailed",
    "ToolMissing",
    "VerifierRejected",
]


class Code(Enum):
    """Status of a refused call, named and numbered as gRPC does."""

    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


class ConductorError(Exception):
    """The root. `code` answers a caller, `reason` names a condition, `retry` says whether time alone can help."""

    code: ClassVar[Code] = Code.INTERNAL
    reason: ClassVar[str] = "InternalError"
    retry: ClassVar[bool] = True


class InvalidSpec(ConductorError):
    """A wish is malformed. Raised by `parse` functions; correct the named field."""

    code, reason, retry = Code.INVALID_ARGUMENT, "InvalidSpec", False

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field, self.problem = field, problem


class InvalidConfig(ConductorError):
    """Flags, environment or file hold bad values. Raised by `Config.parse`; lists every bad field at once."""

    code, reason, retry = Code.INVALID_ARGUMENT, "InvalidConfig", False

    def __init__(self, problems: tuple[tuple[str, str], ...]) -> None:
        super().__init__("; ".join(f"{field}: {problem}" for field, problem in problems))
        self.problems = problems


class NotFound(ConductorError):
    """No such program, link or object. Raised by whoever was asked for it; `list` shows the names that exist."""

    code, reason, retry = Code.NOT_FOUND, "NotFound", False


class AlreadyExists(ConductorError):
    """The name is in use with another spec. Raised by Load; use Update to change it."""

    code, reason, retry = Code.ALREADY_EXISTS, "AlreadyExists", False


class NameTaken(ConductorError):
    """Another source (cluster, file, grpc) holds the name. Raised by the merge; withdraw it there or choose another."""

    code, reason, retry = Code.ALREADY_EXISTS, "NameTaken", False


class SourceHolds(ConductorError):
    """The program belongs to another source. Raised by Unload and Update; ask the source that holds it."""

    code, reason, retry = Code.FAILED_PRECONDITION, "SourceHolds", False


class NotAllowed(ConductorError):
    """The caller may not do this. Raised by the peer check and the daemon's socket; use a permitted user or group."""

    code, reason, retry = Code.PERMISSION_DENIED, "NotAllowed", False


class NotYet(ConductorError):
    """This version cannot do it at all. Raised where a feature has no part behind it; the message says which."""

    code, reason, retry = Code.UNIMPLEMENTED, "NotImplemented", False


class NotSupported(ConductorError):
    """This kernel or library lacks a feature. Raised by `bpf` and `loader`; the message says what has it."""

    code, reason, retry = Code.FAILED_PRECONDITION, "NotSupported", False


class LibraryMissing(ConductorError):
    """libbpf is absent or too old. Raised by `bpf.library`; install the package that the message names."""

    code, reason, retry = Code.FAILED_PRECONDITION, "LibraryMissing", False


class ObjectUnreadable(ConductorError):
    """The object file is missing, unreadable or no BPF ELF. Raised by `bpf.objects` and by Load; fix the file."""

    code, reason, retry = Code.INVALID_ARGUMENT, "ObjectUnreadable", False


class ToolMissing(ConductorError):
    """A compiler is not installed. Raised by `conductor wasm build`; install the package that the message names."""

    code, reason, retry = Code.FAILED_PRECONDITION, "ToolMissing", False


class BuildFailed(ConductorError):
    """A compiler ended with an error. Raised by `conductor wasm build`; its own words stand above ours."""

    code, reason, retry = Code.FAILED_PRECONDITION, "BuildFailed", False


class VerifierRejected(ConductorError):
    """The kernel's verifier refused the program. Raised by `bpf.objects`; the log's last lines tell where."""

    code, reason, retry = Code.FAILED_PRECONDITION, "VerifierRejected", False

    def __init__(self, program: str, log: tuple[str, ...]) -> None:
        telling = _telling_line(log)
        super().__init__(f"{program}: {telling} ({max(0, len(log) - 1)} more lines: conductor kernel log)")
        self.program, self.log = program, log


class KernelRefused(ConductorError):
    """The kernel or its daemon refused a load or attach. Raised by `bpf` and `bpfman`; the message carries its own words."""

    code, reason, retry = Code.FAILED_PRECONDITION, "KernelRefused", True


class KernelAway(ConductorError):
    """The kernel daemon cannot be reached. Raised by `bpfman`; work is tried again when it answers."""

    code, reason, retry = Code.UNAVAILABLE, "KernelAway", True


class AnswerLost(KernelAway):
    """A change was sent and its answer never came: it may have happened. Raised by `bpfman`; look before repeating."""

    reason = "AnswerLost"


class NoKernelRoad(KernelAway):
    """There is no road to the kernel. Raised by `bpfman`; start bpfman or `conductor up`, or choose with `--kernel`."""

    reason = "NoKernelRoad"


class ContainerGone(ConductorError):
    """A container's process ended while a link was made there. Raised by the kernel half; the next look finds its successor."""

    code, reason, retry = Code.FAILED_PRECONDITION, "ContainerGone", True


class MapMissing(ConductorError):
    """A granted map is not there yet. Raised when a grant is opened; the program waits for its kernel half."""

    code, reason, retry = Code.FAILED_PRECONDITION, "MapMissing", True


class MapMismatch(ConductorError):
    """A granted map has another type or layout than the program needs. Raised when a grant is opened; build both alike."""

    code, reason, retry = Code.FAILED_PRECONDITION, "MapMismatch", False


class MetricClash(ConductorError):
    """Two programs declare one metric differently. Raised by the series store; both names are in the message."""

    code, reason, retry = Code.FAILED_PRECONDITION, "MetricClash", False


class BudgetExceeded(ConductorError):
    """A program or queue is past its bound. Raised by the owner of the bound; raise the limit or do less."""

    code, reason, retry = Code.RESOURCE_EXHAUSTED, "BudgetExceeded", True


class MessageTooLarge(ConductorError):
    """A message is past 4 MiB. Raised by the wire before buffering; send less at once."""

    code, reason, retry = Code.RESOURCE_EXHAUSTED, "MessageTooLarge", False


class ProgramCrashed(ConductorError):
    """A user program raised or trapped. Raised by its runtime; it is started again with back-off."""

    code, reason, retry = Code.INTERNAL, "ProgramCrashed", True


class ProgramStuck(ProgramCrashed):
    """A user program did not come back from a call. Raised by its runtime; its thread is left behind."""

    reason = "ProgramStuck"


class ProgramTrapped(ProgramCrashed):
    """A wasm program trapped. Raised by `wasm`; the message names the cause and the functions, innermost first."""

    reason = "Trapped"


class ProgramExited(ProgramCrashed):
    """A wasm program called exit, which ends its instance. Raised by `wasm`; build a reactor that returns instead."""

    reason = "Exited"


class CallBudget(ProgramCrashed):
    """One call of a wasm program used up its time. Raised by `wasm`; do less in one call, or raise `cpuCall`."""

    reason = "CallBudget"


class CompileBudget(ConductorError):
    """Compiling a module takes too much time, memory or output. Raised by `wasm`; make the module simpler."""

    code, reason, retry = Code.RESOURCE_EXHAUSTED, "CompileBudget", False


class ModuleUnusable(ConductorError):
    """A file is no wasm module that can run here. Raised by `wasm`; the message says what to build instead."""

    code, reason, retry = Code.INVALID_ARGUMENT, "ModuleUnusable", False


class TickFailed(ConductorError):
    """One tick of a user program failed. Raised by its runtime; the program goes on, its log has the cause."""

    code, reason, retry = Code.INTERNAL, "TickFailed", True


class DeadlineExceeded(ConductorError):
    """The caller's time is over while the work goes on. Raised by whoever waits; look with Get."""

    code, reason, retry = Code.DEADLINE_EXCEEDED, "DeadlineExceeded", True


class StateUnwritable(ConductorError):
    """A wish could not be made durable. Raised by the state store; free space or fix permissions, then repeat."""

    code, reason, retry = Code.UNAVAILABLE, "StateUnwritable", True


class ImageUnusable(ConductorError):
    """An image holds nothing that can run here. Raised by `oci`; says what was found and what would be accepted."""

    code, reason, retry = Code.INVALID_ARGUMENT, "ImageUnusable", False


class ImageNotFound(ConductorError):
    """A registry has no such image, tag or blob. Raised by `oci`; push it, or correct the reference it names."""

    code, reason, retry = Code.NOT_FOUND, "ImageNotFound", False


class ImageTooLarge(ConductorError):
    """An image, or a part of it, is past a ceiling. Raised by `oci` before it is fetched; the message has both."""

    code, reason, retry = Code.RESOURCE_EXHAUSTED, "ImageTooLarge", False


class ImageDamaged(ConductorError):
    """Bytes are not those that their digest names. Raised by `oci`; they are thrown away and fetched again."""

    code, reason, retry = Code.DATA_LOSS, "ImageDamaged", True


class RegistryRefused(ConductorError):
    """A registry wants other credentials, or forbids it (401, 403). Raised by `oci`; correct the pull secret."""

    code, reason, retry = Code.PERMISSION_DENIED, "RegistryRefused", False


class RegistryAway(ConductorError):
    """A registry, its mirrors or its token server cannot be reached. Raised by `oci`; it is tried again later."""

    code, reason, retry = Code.UNAVAILABLE, "RegistryAway", True


class ImagePending(ConductorError):
    """A pinned image is not in the store, or one is not pinned yet. Raised by the Image Manager; it is being pulled."""

    code, reason, retry = Code.UNAVAILABLE, "Pulling", True


class ImageUntrusted(ConductorError):
    """The image policy refuses an image. Raised by `oci.trust`; says what was found and what the policy wants."""

    code, reason, retry = Code.PERMISSION_DENIED, "ImageUntrusted", False


class SignaturesUnjudged(ConductorError):
    """The child that judges signatures ended early or took too long. Raised by `oci.trust`; nothing is accepted."""

    code, reason, retry = Code.UNAVAILABLE, "SignaturesUnjudged", True


class StoreFull(ConductorError):
    """The image cache has no room that may be freed. Raised by `oci`; prune images, or give it more space."""

    code, reason, retry = Code.RESOURCE_EXHAUSTED, "StoreFull", True


class ClusterAway(ConductorError):
    """The API server cannot be reached, is too busy or answers too late. Raised by `kube`; it is tried again."""

    code, reason, retry = Code.UNAVAILABLE, "ClusterAway", True

    def __init__(self, message: str, *, sent: bool = True) -> None:
        super().__init__(message)
        self.sent = sent
        """Whether the request may have reached it: a change may then have happened."""


class ClusterRefused(ConductorError):
    """The API server forbids it (401, 403). Raised by `kube`; grant the verb and resource that the message names."""

    code, reason, retry = Code.PERMISSION_DENIED, "ClusterRefused", False


class ClusterConflict(ConductorError):
    """An object changed since it was read. Raised by `kube` on guarded writes; read it again and decide anew."""

    code, reason, retry = Code.ABORTED, "ClusterConflict", True


class ClusterInvalid(ConductorError):
    """The API server refuses an object's content or a request's form. Raised by `kube`; correct what it names."""

    code, reason, retry = Code.INVALID_ARGUMENT, "ClusterInvalid", False


class HistoryGone(ConductorError):
    """The API server has forgotten what happened since a version (410). Raised by `kube`; its watches list again."""

    code, reason, retry = Code.ABORTED, "HistoryGone", True


class LeadershipLost(ConductorError):
    """This agent does not lead any more. Raised by the fence before each send, and by the lease; stop, and contend again."""

    code, reason, retry = Code.ABORTED, "LeadershipLost", True


class RevisionUnusable(ConductorError):
    """A revision that this node is to run is not there, or is another than was meant. Raised by `node`; delete it."""

    code, reason, retry = Code.FAILED_PRECONDITION, "RevisionUnusable", False


class RevisionMissing(RevisionUnusable):
    """A revision that this node is to run is not there yet. Raised by `node`; it is looked for again."""

    reason, retry = "RevisionMissing", True


class PathNotAllowed(ConductorError):
    """A cluster names a file of this node's disk. Raised by `node`; use an image, or allow it on this node."""

    code, reason, retry = Code.PERMISSION_DENIED, "PathNotAllowed", False


class PullSecretNotAllowed(ConductorError):
    """This agent may not read a pull secret. Raised where an image names it; list it in the chart's pullSecrets."""

    code, reason, retry = Code.PERMISSION_DENIED, "PullSecretNotAllowed", False


class PullSecretUnusable(ConductorError):
    """A pull secret is not there, or holds no credentials. Raised where an image names it; make it anew."""

    code, reason, retry = Code.FAILED_PRECONDITION, "PullSecretUnusable", False


class PrivilegesKept(ConductorError):
    """Rights could not be given up, or some were still there afterwards. Raised by `privilege`; nothing is started."""

    code, reason, retry = Code.FAILED_PRECONDITION, "PrivilegesKept", False


class AddressInUse(ConductorError):
    """Another process serves this socket or address. Raised at start; end it or choose another path."""

    code, reason, retry = Code.FAILED_PRECONDITION, "AddressInUse", False


class AgentUnreachable(ConductorError):
    """No agent answers on the socket. Raised by the client; start one with `conductor up`."""

    code, reason, retry = Code.UNAVAILABLE, "AgentUnreachable", True


class AgentStopping(ConductorError):
    """The agent ends while it serves. Raised to the calls that still run; repeat them when it is back."""

    code, reason, retry = Code.UNAVAILABLE, "AgentStopping", True


_COUNTS = ("processed ", "verification time ", "stack depth ", "--", "libbpf: failed to load")


def _telling_line(log: tuple[str, ...]) -> str:
    """Last line that says something, and the source line that it is about: logs end with counts."""
    lines = [line.strip() for line in log if line.strip() and not line.startswith(_COUNTS)]
    sources = [line[2:] for line in lines if line.startswith("; ")]
    if not lines:
        return "rejected without a log"
    return f"{lines[-1]}, at: {sources[-1]}" if sources and lines[-1] != f"; {sources[-1]}" else lines[-1]
