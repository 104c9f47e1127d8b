"""Our own record of links: no daemon tells what a link id stands for.

Written before an Attach is sent and again when its answer is here. Only a crash of processes is survived, not one of
the machine: program ids mean nothing after a boot, so nothing is synced and records of another boot are dropped.
"""

from __future__ import annotations

import dataclasses
import json
import logging
from pathlib import Path
from typing import Any

from conductor.errors import StateUnwritable
from conductor.managers.durable import keep_aside, write_whole
from conductor.model.facts import ContainerProcess
from conductor.model.ids import LinkId, Name, ProgramId
from conductor.model.kernel import (
    ContainerSelector,
    Direction,
    FentryLink,
    FexitLink,
    InterfaceSelector,
    KernelType,
    KprobeLink,
    Link,
    LsmLink,
    TcLink,
    TcxLink,
    TracepointLink,
    UprobeLink,
    XdpLink,
)
from conductor.plan.kernel_sets import LinkRecord, LinkWant

__all__ = ["LinkRecords"]

log = logging.getLogger(__name__)
VERSION = 1
_KINDS: dict[str, type[Any]] = {
    kind.__name__: kind
    for kind in (
        XdpLink,
        TcLink,
        TcxLink,
        TracepointLink,
        KprobeLink,
        UprobeLink,
        FentryLink,
        FexitLink,
        LsmLink,
    )
}


class LinkRecords:
    """Own the file of link records; the only writer."""

    def __init__(self, *, path: Path, boot_id: str) -> None:
        self._path, self._boot_id = path, boot_id
        self._records: dict[tuple[ProgramId, LinkWant], LinkRecord] = {}
        self._lines: dict[tuple[ProgramId, LinkWant], str] = {}
        """The same as they are kept: each change of one writes all, and there may be hundreds."""

    def load(self) -> None:
        """Read what was kept in this boot; an unreadable file is put aside and said."""
        try:
            kept = json.loads(self._path.read_bytes())
            if kept["version"] == VERSION and kept["boot_id"] == self._boot_id:
                for record in map(_from_json, kept["links"]):
                    self._set(record)
        except FileNotFoundError:
            return
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            log.warning("%s is unreadable, kept as %s: %s", self._path, keep_aside(self._path), error)

    def all(self) -> tuple[LinkRecord, ...]:
        """Answer every record."""
        return tuple(self._records.values())

    def of(self, program: ProgramId) -> tuple[LinkRecord, ...]:
        """Answer the records of one program."""
        return tuple(record for record in self._records.values() if record.program == program)

    def open(self, record: LinkRecord) -> LinkRecord | None:
        """Record that a link is about to be attached, answer what was recorded of it before.

        Raises `StateUnwritable`: then it must not be attached.
        """
        before = self._records.get(_key(record))
        self._put(record, before)
        return before

    def set_aside(self, record: LinkRecord) -> None:
        """Record that a link is about to make room. Raises `StateUnwritable`: then it must not be detached."""
        self._put(dataclasses.replace(record, aside=True), record)

    def undo(self, record: LinkRecord, before: LinkRecord | None) -> None:
        """Record that a link was not attached: what was recorded before `open` holds again, if it made room."""
        if before is not None and before.aside:
            self._set(before)
            self._save_if_possible()
        else:
            self.drop(record)

    def _put(self, record: LinkRecord, before: LinkRecord | None) -> None:
        self._set(record)
        try:
            self._save()
        except StateUnwritable:
            if before is None:
                self._unset(record)
            else:
                self._set(before)
            raise

    def settle(self, record: LinkRecord, link: LinkId) -> None:
        """Record the id of an attached link."""
        self._set(dataclasses.replace(record, link=link))
        self._save_if_possible()

    def drop(self, record: LinkRecord) -> None:
        """Forget one link."""
        self._unset(record)
        self._save_if_possible()

    def drop_program(self, program: ProgramId) -> None:
        """Forget every link of a program that is gone."""
        gone = self.of(program)
        for record in gone:
            self._unset(record)
        if gone:
            self._save_if_possible()

    def _set(self, record: LinkRecord) -> None:
        self._records[_key(record)] = record
        self._lines[_key(record)] = json.dumps(_to_json(record))

    def _unset(self, record: LinkRecord) -> None:
        self._records.pop(_key(record), None)
        self._lines.pop(_key(record), None)

    def _save_if_possible(self) -> None:
        """Save; what cannot be is not lost while we live, and after a crash it is told from what the daemon lists."""
        try:
            self._save()
        except StateUnwritable as error:
            log.warning("%s", error)

    def _save(self) -> None:
        head = json.dumps({"version": VERSION, "boot_id": self._boot_id})[:-1]
        links = ",\n".join(self._lines.values())
        write_whole(self._path, f'{head}, "links": [\n{links}\n]}}\n'.encode(), durable=False)


def _key(record: LinkRecord) -> tuple[ProgramId, LinkWant]:
    return (record.program, record.want)


def _to_json(record: LinkRecord) -> dict[str, Any]:
    want = record.want
    return {
        "name": record.name,
        "program": record.program,
        "link": record.link,
        "function": want.function,
        "type": want.type.value,
        "interface": want.interface,
        "index": want.index,
        "aside": record.aside,
        "process": None if want.process is None else dataclasses.asdict(want.process),
        "attach": {"kind": type(want.link).__name__, **dataclasses.asdict(want.link)},
    }


def _from_json(kept: dict[str, Any]) -> LinkRecord:
    want = LinkWant(
        function=str(kept["function"]),
        type=KernelType(kept["type"]),
        link=_link_from_json(dict(kept["attach"])),
        interface=str(kept["interface"]),
        index=int(kept["index"]),
        process=None if kept.get("process") is None else ContainerProcess(**kept["process"]),
    )
    link = None if kept["link"] is None else LinkId(int(kept["link"]))
    aside = bool(kept.get("aside", False))
    return LinkRecord(
        name=Name(kept["name"]), program=ProgramId(int(kept["program"])), want=want, link=link, aside=aside
    )


def _link_from_json(kept: dict[str, Any]) -> Link:
    kind = _KINDS[kept.pop("kind")]
    fields = _with_tuples(kept)
    if "interfaces" in fields:
        fields["interfaces"] = InterfaceSelector(**_with_tuples(fields["interfaces"]))
    if fields.get("containers") is not None:
        fields["containers"] = ContainerSelector(**_with_tuples(fields["containers"]))
    if "direction" in fields:
        fields["direction"] = Direction(fields["direction"])
    link: Link = kind(**fields)
    return link


def _with_tuples(kept: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in kept.items()}
