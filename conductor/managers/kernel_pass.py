"""One pass of the kernel half: resolve what is wished, read the world, plan, act, until nothing is left to do.

A program that fails does not stop the others. A daemon that is away stops the pass: all others would meet the same.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable
from typing import Protocol

from conductor.errors import AnswerLost, ConductorError, KernelAway, KernelRefused
from conductor.managers.kernel_counters import KernelCounters
from conductor.managers.kernel_entries import Entries, Entry
from conductor.managers.kernel_findings import Findings, InternalFault
from conductor.managers.kernel_hands import KernelHands
from conductor.managers.kernel_records import LinkRecords
from conductor.managers.kernel_refusals import Refusal, Refusals, is_refusal
from conductor.managers.kernel_ties import words
from conductor.model.facts import ContainerProcess, Interface, NodePods
from conductor.model.kernel import Bytecode
from conductor.model.status import State
from conductor.plan.kernel import Action, AttachLink, DetachLink, Forget, Replace, Unload, Wait, plan
from conductor.plan.kernel_home import at_home
from conductor.plan.kernel_links import Unmatched, needs_containers, needs_interfaces, outcome_of, resolve, selectors_of
from conductor.plan.kernel_pods import Scene, watched
from conductor.plan.kernel_sets import KernelWant, LinkRecord, LinkWant
from conductor.ports import Containers, InterfaceSource, PodSource

__all__ = ["KernelPass", "ObjectFiles"]

log = logging.getLogger(__name__)
ROUNDS = 16
"""Reads of the world in one pass: each map owner of a chain takes one, each lost answer another."""


class ObjectFiles(Protocol):
    """Object files that the daemon can read."""

    def path_of(self, bytecode: Bytecode) -> tuple[str, str]:
        """Answer path and digest. Raises `ObjectUnreadable`, `NotFound`, `NotYet`."""
        ...


class KernelPass:
    """Bring the kernel to what the entries wish, as far as it goes now."""

    def __init__(
        self,
        *,
        entries: Entries,
        hands: KernelHands,
        records: LinkRecords,
        objects: ObjectFiles,
        interfaces: InterfaceSource,
        containers: Containers,
        pods: PodSource,
        refusals: Refusals,
        counters: KernelCounters,
        netns: str | None = None,
    ) -> None:
        self._counters, self._netns = counters, netns
        self._containers, self._pods, self._refusals = containers, pods, refusals
        self._entries, self._hands, self._records = entries, hands, records
        self._objects, self._interfaces = objects, interfaces
        self.left_out = 0
        """Links into containers past their programs' bounds, as of the last pass."""

    async def run(self, stopping: Callable[[], bool]) -> None:
        """Do one pass; every entry has an outcome afterwards, unless `stopping` cut it short."""
        found = Findings()
        try:
            await self._resolve(found)
            await self._act(found, stopping)
        except ConductorError as error:
            self._fail_all(found, error)
        except Exception:
            log.exception("a pass over the kernel programs failed")
            self._fail_all(found, InternalFault("a defect of the agent; its log has the trace"))
        else:
            if not stopping():
                self._conclude(found)

    async def _resolve(self, found: Findings) -> None:
        """Find each wish's object and links. What cannot be found keeps what it has."""
        pods = self._pods.seen()
        self._refusals.only([entry.wish.spec.name for entry in self._entries])
        interfaces, processes = await self._look_at_interfaces(), await self._look_at_containers(pods)
        for entry in self._entries:
            name = entry.wish.spec.name
            try:
                want = self._want(entry, interfaces, processes, pods, found)
            except ConductorError as error:
                found.failures[name] = error
            else:
                if want is not None:
                    found.wants[name] = want
        self.left_out = sum(unmatched.left_out for unmatched in found.unmatched.values())

    async def _look_at_interfaces(self) -> tuple[Interface, ...] | ConductorError:
        if not any(needs_interfaces(entry.wish.spec) for entry in self._entries):
            return ()
        try:
            return await self._interfaces.interfaces()
        except ConductorError as error:
            return error

    async def _look_at_containers(self, pods: NodePods) -> tuple[ContainerProcess, ...] | ConductorError:
        wanted = [
            watched(selector, self._scene(entry, (), pods))
            for entry in self._entries
            for selector in selectors_of(entry.wish.spec)
        ]
        try:
            return await self._containers.processes(wanted)
        except ConductorError as error:
            return error

    def _scene(self, entry: Entry, processes: tuple[ContainerProcess, ...], pods: NodePods) -> Scene:
        mine = (record.want for record in self._records.all() if record.name == entry.wish.spec.name)
        return Scene(processes=processes, pods=pods, held=tuple(want for want in mine if want.process is not None))

    def _want(
        self,
        entry: Entry,
        interfaces: tuple[Interface, ...] | ConductorError,
        processes: tuple[ContainerProcess, ...] | ConductorError,
        pods: NodePods,
        found: Findings,
    ) -> KernelWant | None:
        """What an entry is to be now; None while its object is not looked for again yet."""
        spec = entry.wish.spec
        if not entry.path:
            if not self._entries.is_due(spec.name):
                return None
            entry.path, entry.digest = self._objects.path_of(spec.bytecode)
        if isinstance(interfaces, ConductorError):
            if needs_interfaces(spec):
                raise interfaces
            interfaces = ()
        if isinstance(processes, ConductorError):
            if needs_containers(spec):
                raise processes
            processes = ()
        scene = self._scene(entry, processes, pods)
        links, found.unmatched[spec.name] = resolve(at_home(spec, self._netns), interfaces, scene)
        return KernelWant(
            spec=spec,
            path=entry.path,
            digest=entry.digest,
            generation=entry.wish.generation,
            links=self._refusals.due(spec.name, links),
        )

    async def _act(self, found: Findings, stopping: Callable[[], bool]) -> None:
        for _ in range(ROUNDS):
            found.sets = await self._hands.world()
            listed_stand = self._hands.listed_stand
            found.plan = plan(found.wants, found.sets, self._records.all(), listed_stand=listed_stand)
            actions = [action for action in found.plan.actions if self._may(action, found)]
            if not actions or stopping():
                return
            found.unanswered.clear()
            for action in actions:
                if not stopping():
                    await self._try(action, found)
        for action in actions:
            restless = KernelRefused(f"it did not come to rest in {ROUNDS} rounds; see `conductor kernel log`")
            found.failures.setdefault(action.name, found.unanswered.get(action.name, restless))

    def _may(self, action: Action, found: Findings) -> bool:
        """Whether an action may be tried now: not waiting, not failed, not backing off, not half understood."""
        if isinstance(action, Forget):
            return True
        name = action.name
        if isinstance(action, Wait) or name in found.failures or name in found.hindrances:
            return False
        is_half_understood = name not in found.wants and self._entries.get(name) is not None
        return not is_half_understood and self._entries.is_due(name)

    async def _try(self, action: Action, found: Findings) -> None:
        name = action.name
        is_blocked = name in found.failures and not (name in found.partial and _is_independent(action))
        if is_blocked or name in found.unanswered or name in found.hindrances:
            return
        entry = self._entries.get(name)
        if entry is not None and isinstance(action, Replace):
            self._entries.tell(entry, State.UPDATING, "Updating", "the new version is brought up beside the old")
        try:
            await self._hands.perform(action)
            if isinstance(action, AttachLink):
                self._refusals.settle(name, action.want)
        except AnswerLost as error:
            found.unanswered[name] = error
        except KernelAway:
            raise
        except ConductorError as error:
            self._counters.failures += 1
            if isinstance(action, AttachLink):
                if entry is not None and is_refusal(entry.wish.spec, action.want, error):
                    self._refuse(action, error, found)
                    return
                found.partial.add(name)
            (found.hindrances if self._is_mere_rest(action, found) else found.failures).setdefault(name, error)
        except Exception:
            self._counters.failures += 1
            log.exception("kernel program %s: %s failed", name, type(action).__name__)
            found.failures[name] = InternalFault("a defect of the agent; its log has the trace")

    def _refuse(self, action: AttachLink, error: ConductorError, found: Findings) -> None:
        """Leave a container out until it is asked again."""
        self._refusals.note(action.name, action.want, error)
        want = found.wants[action.name]
        links = tuple(link for link in want.links if link != action.want)
        found.wants[action.name] = dataclasses.replace(want, links=links)

    def _is_mere_rest(self, action: Action, found: Findings) -> bool:
        """Whether an action only clears away what is left of a version before, beside one that runs."""
        replaced = any(isinstance(other, Replace) and other.name == action.name for other in found.plan.actions)
        return isinstance(action, Unload) and action.name in found.plan.holding and not replaced

    # --- outcomes -----------------------------------------------------------------------------------------------------

    def _fail_all(self, found: Findings, error: ConductorError) -> None:
        for entry in self._entries:
            name = entry.wish.spec.name
            self._entries.fail(name, found.failures.get(name, error))

    def _conclude(self, found: Findings) -> None:
        records: dict[int, tuple[LinkRecord, ...]] = {}
        for record in self._records.all():
            records[record.program] = (*records.get(record.program, ()), record)
        newest = {s.name: s for s in found.sets}
        for entry in self._entries:
            name = entry.wish.spec.name
            self._entries.hold(entry, found.plan.holding.get(name, newest.get(name)), records)
            self._conclude_one(entry, found)
        self._entries.leave({name: error for name, error in found.failures.items() if self._entries.get(name) is None})

    def _conclude_one(self, entry: Entry, found: Findings) -> None:
        name = entry.wish.spec.name
        left = [action for action in found.plan.actions if action.name == name and not isinstance(action, Forget)]
        failure = found.failures.get(name) or found.unanswered.get(name)
        if failure is not None:
            self._entries.fail(name, failure)
        elif name in found.hindrances:
            self._entries.hinder(entry, found.hindrances[name])
        elif left and isinstance(left[0], Wait):
            owner = left[0].owner
            message = f"it uses the maps of kernel program {owner}, which is not loaded; load it or see why it is not"
            self._entries.succeed(entry, State.WAITING, "MapOwnerMissing", message)
        elif name not in found.wants or left:
            return
        elif refusals := self._refusals.of(name):
            self._conclude_refused(entry, refusals)
        else:
            self._conclude_linked(entry, found.unmatched[name])

    def _conclude_refused(self, entry: Entry, refusals: tuple[Refusal, ...]) -> None:
        """Containers of pods that it selects by labels refused: where others did not, it runs."""
        first = refusals[0]
        more = f"; and {len(refusals) - 1} more such" if refusals[1:] else ""
        message = f"{words(first.want)}: {entry.told(first.error)}{more}; each is tried again"
        if any(function.links for function in entry.functions):
            state = State.RUNNING
        else:
            state = State.WAITING if self._refusals.is_patient(refusals) else State.FAILED
        self._entries.refuse(entry, state, first.error.reason, message, min(one.due for one in refusals))

    def _conclude_linked(self, entry: Entry, unmatched: Unmatched) -> None:
        """All that could be attached is."""
        outcome, remark = outcome_of(unmatched), entry.remark
        if outcome is None:
            self._entries.succeed(entry, State.RUNNING, "MapsRenewed" if remark else "", remark)
            return
        state, reason, message = outcome
        self._entries.succeed(entry, state, reason, f"{message}; {remark}" if remark else message)


def _is_independent(action: Action) -> bool:
    """Whether an action may go on after another link of the same program failed."""
    match action:
        case AttachLink():
            return True
        case DetachLink(record=LinkRecord(want=LinkWant(process=ContainerProcess()))):
            return True  # nothing new takes the place of what another container had
        case _:
            return False
