"""What is known of each wished kernel program: its condition, when it may be tried again, what was said of it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol

from conductor.errors import ConductorError, ContainerGone, ImagePending, KernelAway, ObjectUnreadable, VerifierRejected
from conductor.model.ids import MapId, Name
from conductor.model.kernel import KernelFunctionStatus, KernelProgramSpec, LinkStatus, PathObject
from conductor.model.program import Source
from conductor.model.status import Condition, KernelStatus, State
from conductor.plan.backoff import delay
from conductor.plan.conditions import as_asked
from conductor.plan.kernel_sets import LinkRecord, LoadedSet

__all__ = ["Entries", "Entry", "KernelWish", "Wish"]

JOURNAL_LINES = 200
LOG_LINES = 10_000
HOPELESS_SECONDS = 600.0
"""A failure that time alone does not mend is looked at again this late: a module may have been loaded, a file fixed."""


class Wish(Protocol):
    """What the owner of user programs asks for."""

    @property
    def spec(self) -> KernelProgramSpec:
        """What is asked for."""
        ...

    @property
    def source(self) -> Source:
        """Who asked."""
        ...

    @property
    def generation(self) -> int:
        """How often it was changed."""
        ...

    @property
    def needed_by(self) -> tuple[Name, ...]:
        """User programs that brought it along."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelWish:
    """A kernel program that should be there."""

    spec: KernelProgramSpec
    source: Source
    generation: int = 1
    needed_by: tuple[Name, ...] = ()


@dataclass(slots=True)
class Entry:
    """One wished kernel program. Owned by `Entries`."""

    wish: Wish
    condition: Condition
    digest: str = ""
    path: str = ""
    functions: tuple[KernelFunctionStatus, ...] = ()
    held: int = 0
    """Generation of what the kernel holds; 0: nothing, or not known."""
    failures: int = 0
    due: float = 0.0
    """When it may be tried next, in loop time; 0: at once."""
    again: float = 0.0
    """When containers that refused are to be asked again; nothing else waits for that. 0: none did."""
    tried: bool = False
    """Whether the present wish had an outcome."""
    journal: deque[str] = field(default_factory=lambda: deque(maxlen=JOURNAL_LINES))
    verifier: tuple[str, ...] = ()
    remark: str = ""
    """What whoever looks at a version that runs should know of how it came to."""

    def told(self, error: ConductorError) -> str:
        """Say what went wrong in the words of whoever asked: the object by their path, not by that of our copy."""
        bytecode = self.wish.spec.bytecode
        asked = (bytecode.path or bytecode.digest) if isinstance(bytecode, PathObject) else ""
        return as_asked(str(error), kept=self.path, asked=asked)

    def status(self) -> KernelStatus:
        """Tell how it stands."""
        return KernelStatus(
            spec=self.wish.spec,
            source=self.wish.source,
            condition=self.condition,
            generation=self.wish.generation,
            digest=self.digest,
            functions=self.functions,
            needed_by=self.wish.needed_by,
        )


class Entries:
    """Own the entries; tell `changed` of each whose state, reason or programs became others."""

    def __init__(
        self,
        *,
        clock: Callable[[], float],
        now: Callable[[], float],
        jitter: Callable[[], float],
        changed: Callable[[Name], None],
    ) -> None:
        self._clock, self._now, self._jitter, self._changed = clock, now, jitter, changed
        self._entries: dict[Name, Entry] = {}
        self._leftovers: dict[Name, tuple[int, float]] = {}

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries.values())

    def get(self, name: Name) -> Entry | None:
        """Answer one entry."""
        return self._entries.get(name)

    def wish(self, desired: Mapping[Name, Wish]) -> None:
        """Take the wishes over: changed ones are due at once, withdrawn ones leave."""
        for name in [name for name in self._entries if name not in desired]:
            del self._entries[name]
            self._changed(name)
        for name, wish in desired.items():
            entry = self._entries.get(name)
            if entry is None:
                condition = Condition(state=State.INITIALIZED, reason="Loading", since=self._clock())
                self._entries[name] = Entry(wish, condition)
                self._changed(name)
            elif entry.wish.spec != wish.spec or entry.wish.generation != wish.generation:
                self._renew(entry, wish)
            else:
                entry.wish = wish

    def _renew(self, entry: Entry, wish: Wish) -> None:
        if entry.wish.spec.bytecode != wish.spec.bytecode:
            entry.path = entry.digest = ""
        entry.wish, entry.failures, entry.due, entry.tried = wish, 0, 0.0, False
        entry.verifier, entry.remark = (), ""
        state = State.UPDATING if entry.functions else State.INITIALIZED
        self.tell(entry, state, "Updating" if entry.functions else "Loading")

    def hurry(self, *, only: Callable[[KernelProgramSpec], bool] | None = None) -> None:
        """Make failed entries due at once, all or those chosen: something changed outside."""
        self._leftovers.clear()
        for entry in self._entries.values():
            if only is None or only(entry.wish.spec):
                entry.due = 0.0

    def is_due(self, name: Name) -> bool:
        """Whether actions for this name may be tried now."""
        entry = self._entries.get(name)
        due = entry.due if entry is not None else self._leftovers.get(name, (0, 0.0))[1]
        return due <= self._now()

    def next_due(self) -> float | None:
        """When the earliest failed entry may be tried again."""
        times = [time for entry in self._entries.values() for time in (entry.due, entry.again)]
        times += [due for _, due in self._leftovers.values()]
        return min((time for time in times if time > 0.0), default=None)

    def succeed(self, entry: Entry, state: State, reason: str, message: str) -> None:
        """Record an outcome that needs no other try."""
        entry.failures, entry.due, entry.again, entry.tried = 0, 0.0, 0.0, True
        self.tell(entry, state, reason, message)

    def refuse(self, entry: Entry, state: State, reason: str, message: str, again: float) -> None:
        """Record that containers refused, and when they are asked again."""
        if entry.condition.reason != reason:
            self.note(entry.wish.spec.name, f"{reason}: {message}")
        self.succeed(entry, state, reason, message)
        entry.again = again

    def fail(self, name: Name, error: ConductorError) -> None:
        """Record a failure of a wished program and when it is tried again."""
        entry = self._entries[name]
        entry.failures, entry.again, entry.tried = entry.failures + 1, 0.0, True
        message = entry.told(error)
        pause = delay(entry.failures, self._jitter()) if error.retry else HOPELESS_SECONDS
        entry.due = self._now() + pause
        if isinstance(error, VerifierRejected):
            entry.verifier = error.log[-LOG_LINES:]
        if isinstance(error, ObjectUnreadable):
            entry.path = entry.digest = ""
        if entry.condition.reason != error.reason:
            self.note(name, f"{error.reason}: {message}")
        self._tell_failure(entry, error, message)

    def hinder(self, entry: Entry, error: ConductorError) -> None:
        """Record that it runs, and that something old beside it could not be removed yet."""
        entry.failures, entry.tried = entry.failures + 1, True
        entry.due = self._now() + delay(entry.failures, self._jitter())
        message = f"it runs, but the version before cannot be unloaded yet: {error}"
        self.tell(entry, State.RUNNING, "UnloadFailed", message)

    def leave(self, failures: Mapping[Name, ConductorError]) -> None:
        """Record programs that nobody wishes any more and that could not be unloaded now."""
        counts = {name: self._leftovers.get(name, (0, 0.0))[0] + 1 for name in failures}
        still = {name: left for name, left in self._leftovers.items() if left[1] > self._now()}
        fresh = {name: (count, self._now() + delay(count, self._jitter())) for name, count in counts.items()}
        self._leftovers = still | fresh

    def _tell_failure(self, entry: Entry, error: ConductorError, message: str) -> None:
        if isinstance(error, KernelAway | ContainerGone):
            kept = "; what was loaded goes on" if entry.functions else ""
            state = State.RUNNING if entry.condition.state is State.RUNNING else State.WAITING
            self.tell(entry, state, error.reason, f"{message}{kept}")
        elif isinstance(error, ImagePending):
            self.tell(entry, State.UPDATING if entry.functions else State.PULLING, error.reason, message)
        else:
            kept = "; the version before goes on" if entry.held not in (0, entry.wish.generation) else ""
            self.tell(entry, State.FAILED, error.reason, f"{message}{kept}")

    def tell(self, entry: Entry, state: State, reason: str = "", message: str = "") -> None:
        """Set a condition; `since` moves only when state or reason do."""
        was = entry.condition
        is_new = (was.state, was.reason) != (state, reason)
        since = self._clock() if is_new else was.since
        entry.condition = Condition(state=state, reason=reason, message=message, since=since)
        if is_new:
            self._changed(entry.wish.spec.name)

    def hold(self, entry: Entry, held: LoadedSet | None, records: Mapping[int, tuple[LinkRecord, ...]]) -> None:
        """Show what the kernel holds for an entry now."""
        functions = () if held is None else _functions(entry.wish.spec, held, records)
        entry.held = 0 if held is None else held.generation
        if functions != entry.functions:
            entry.functions = functions
            self._changed(entry.wish.spec.name)

    def note(self, name: Name, line: str) -> None:
        """Add a line to the journal of a program, if it is wished."""
        entry = self._entries.get(name)
        if entry is not None:
            time = datetime.fromtimestamp(self._clock(), UTC).isoformat(timespec="milliseconds")
            entry.journal.append(f"{time} {line}")

    def remark(self, name: Name, line: str) -> None:
        """Show a sentence beside a program that runs, until its wish changes; note it too."""
        self.note(name, line)
        entry = self._entries.get(name)
        if entry is not None:
            entry.remark = line


def _functions(
    spec: KernelProgramSpec, held: LoadedSet, records: Mapping[int, tuple[LinkRecord, ...]]
) -> tuple[KernelFunctionStatus, ...]:
    types = {program.name: program.type for program in spec.programs}
    first = spec.programs[0].type
    shown = []
    for member in held.members:
        links = [r for r in records.get(member.id, ()) if r.link is not None and r.link in member.links]
        shown.append(
            KernelFunctionStatus(
                name=member.name,
                type=member.type or types.get(member.name, first),
                id=member.id,
                tag=member.tag,
                map_ids=tuple(MapId(id_) for id_ in member.map_ids),
                map_pin_path=member.map_pin_path,
                links=tuple(
                    LinkStatus(id=r.link, attach=r.want.link, interface=r.want.interface, process=r.want.process)
                    for r in links
                    if r.link is not None
                ),
            )
        )
    return tuple(shown)
