"""Calls into one guest: each within its limits, its cost counted against the budget per second."""

from __future__ import annotations

from conductor.errors import ConductorError, ProgramCrashed
from conductor.model.program import Limits
from conductor.ports import LogSink
from conductor.wasm.guest import Guest
from conductor.wasm.patience import Patience

__all__ = ["Caller"]


class Caller:
    """Call a guest. Used on its lane."""

    __slots__ = ("_limits", "_log", "_patience", "_wall", "guest")

    def __init__(
        self, guest: Guest, *, limits: Limits, wall_seconds: float, patience: Patience, log_sink: LogSink
    ) -> None:
        self.guest = guest
        self._limits, self._patience, self._log = limits, patience, log_sink
        self._wall = wall_seconds + 10 * limits.cpu_call

    def begin(self) -> None:
        """Run start section, `_initialize` and `conductor_v1_start`. Raises what the guest does; it is closed then."""
        guest = self.guest
        try:
            guest.start(cpu=self._limits.cpu_call, wall=self._wall)
            for name in ("_initialize", "conductor_v1_start"):
                if guest.exports(name) and (answer := self.call(name)) and name != "_initialize":
                    raise ProgramCrashed(
                        f"conductor_v1_start answered {answer}; conductor logs {guest.name} may tell more"
                    )
        except BaseException:
            guest.close()
            raise
        finally:
            self._patience.spend(guest.cpu_seconds)

    def call(self, name: str, *arguments: int) -> int:
        """Call an export. Raises what the guest does; the log has it then."""
        guest = self.guest
        before = guest.cpu_seconds
        try:
            return guest.call(name, *arguments, cpu=self._limits.cpu_call, wall=self._wall)
        except ConductorError as exc:
            if guest.cpu_seconds != before:
                self._log("error", str(exc))
            raise
        finally:
            self._patience.spend(guest.cpu_seconds - before)

    def save(self) -> None:
        """Let it save state, where it can."""
        if self.guest.exports("conductor_v1_save") and (answer := self.call("conductor_v1_save")):
            self._log("warning", f"conductor_v1_save answered {answer}: state may be missing")
