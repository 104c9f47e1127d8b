"""Records on disk: written before the kernel is changed, read once at start."""

from __future__ import annotations

import logging

from conductor.loader.directory import OwnDirectory
from conductor.loader.records import LoadRecord, record_from_json, record_to_json
from conductor.model.ids import ProgramId

__all__ = ["RecordStore"]

log = logging.getLogger(__name__)
_ASIDE = ".bad"
_KEPT_ASIDE = 16


class RecordStore:
    """Own the records' files, `<key>.json` each."""

    def __init__(self, *, directory: OwnDirectory) -> None:
        self._directory = directory

    def read(self) -> tuple[LoadRecord, ...]:
        """Read every record. One that cannot be read is set aside as `*.bad`, with a warning, and is no record."""
        self._directory.sweep()
        found = (self._record(name) for name in self._directory.names() if name.endswith(".json"))
        return tuple(record for record in found if record is not None)

    def write(self, record: LoadRecord) -> None:
        """Make a record durable. Raises `StateUnwritable`."""
        self._directory.write(f"{record.key}.json", record_to_json(record))

    def remove(self, key: ProgramId) -> None:
        """Forget a record, durably. Raises `StateUnwritable`."""
        self._directory.remove(f"{key}.json")

    def _record(self, name: str) -> LoadRecord | None:
        try:
            record = record_from_json(self._directory.read(name) or b"")
            if name == f"{record.key}.json":
                return record
            problem = f"it is of {record.key}"
        except (OSError, ValueError) as error:
            problem = str(error)
        log.warning("record %s is kept aside as %s%s: %s", self._directory.path / name, name, _ASIDE, problem)
        self._set_aside(name)
        return None

    def _set_aside(self, name: str) -> None:
        old = [other for other in self._directory.names() if other.endswith(_ASIDE)]
        for other in old[: max(0, len(old) - _KEPT_ASIDE + 1)]:
            self._directory.remove(other)
        self._directory.rename(name, name + _ASIDE)
