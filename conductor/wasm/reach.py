"""Everything that one instance may reach through its imports; there is nothing else."""

from __future__ import annotations

import json
import logging
from typing import Any

from conductor.errors import ProgramCrashed
from conductor.model.grants import Access
from conductor.model.program import UserProgramSpec
from conductor.ports import ProgramContext
from conductor.wasm.abi import Level
from conductor.wasm.guest import Guest
from conductor.wasm.hostcalls.facts import FactCalls
from conductor.wasm.hostcalls.maps import MapCalls, OpenStream
from conductor.wasm.hostcalls.metrics import MetricCalls
from conductor.wasm.hostcalls.own import OwnCalls
from conductor.wasm.hostcalls.wasi import WasiCalls
from conductor.wasm.memory import GuestMemory

__all__ = ["Reach"]

log = logging.getLogger(__name__)


class Reach:
    """The host functions of one instance, by topic."""

    __slots__ = ("_guest", "_name", "facts", "maps", "metrics", "own", "wasi")

    def __init__(
        self, *, spec: UserProgramSpec, context: ProgramContext, config: dict[str, Any], open_stream: OpenStream
    ) -> None:
        self._guest: Guest | None = None
        self._name = spec.name
        access = {grant.name: grant.access for grant in spec.maps}
        limits, memory = spec.limits, self._memory
        self.maps = MapCalls(
            context=context,
            access={name: access.get(name, Access.READ) for name in context.maps},
            memory=memory,
            operations=limits.map_operations,
            open_stream=open_stream,
        )
        self.metrics = MetricCalls(sink=context.series, memory=memory, series=limits.series)
        self.facts = FactCalls(lookup=context.lookup, memory=memory)
        text = json.dumps(config, separators=(",", ":"), ensure_ascii=False).encode()
        self.own = OwnCalls(context=context, config=text, memory=memory, log_lines=limits.log_lines)
        self.wasi: WasiCalls

    def belong(self, guest: Guest) -> None:
        """Say whose it is; once, before the guest runs."""
        self._guest = guest
        self.wasi = WasiCalls(own=self.own, memory=self._memory, meter=guest.meter)

    def tell(self, function: str, error: Exception) -> None:
        """Write into the program's log why a host function refused."""
        self.own.say(Level.WARNING, f"{function}: {error}")

    def _memory(self) -> GuestMemory:
        memory = self._guest.memory if self._guest else None
        if memory is None:
            raise ProgramCrashed(f"{self._name}: a host function was called without memory")
        return memory
