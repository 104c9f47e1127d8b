"""Whatever happens between two readings, no total falls and together they are what the kernel counted."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from typing_extensions import override

from conductor.builtin import parse_config
from conductor.builtin.kit import books as books_module
from conductor.builtin.kit.books import Books
from conductor.builtin.service_map import Pace, Running, ServiceMap
from tests.builtin.flows import Flows

HOSTS = st.integers(1, 6)
NAMES = st.sampled_from(["a", "b", "c"])


class OneMap(RuleBasedStateMachine):
    """A kernel half that stays; programs that crash, are swapped and stopped; names that change hands."""

    is_small = True

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.flows = Flows(room=8)
        self.world = self.flows.world(Path(self.folder.name))
        self.highest: dict[str, float] = {}
        self.kernel_sent = 0
        self.open()

    @override
    def teardown(self) -> None:
        self.folder.cleanup()

    def open(self) -> None:
        context = self.world.context()
        books = Books.of(context, self.flows.pairs, width=40, counters=3)
        if not self.is_small:
            books._size = books_module.SMALL + 1
        pace = Pace(resolve=0.0, expire=0.0, idle_when_full=0.0)
        self.program = Running(context=context, config=parse_config(ServiceMap, {}), books=books, pace=pace)

    @rule(host=HOSTS, port=st.integers(1, 3), sent=st.integers(0, 1000))
    def send(self, host: int, port: int, sent: int) -> None:
        self.flows.add("client", f"10.0.0.{host}", "10.0.1.1", port, sent=sent)
        self.kernel_sent += sent

    @rule(host=HOSTS, name=NAMES)
    def rename(self, host: int, name: str) -> None:
        self.world.lookup.name(f"10.0.0.{host}", name)

    @rule()
    def tick(self) -> None:
        self.program.tick()

    @rule(path=st.sampled_from(["crash", "stop", "swap"]))
    def again(self, path: str) -> None:
        if path == "stop":
            self.program.close()
        if path in ("crash", "stop"):
            self.world = self.world.reborn()
        self.open()
        self.tick()

    @invariant()
    def nothing_fell(self) -> None:
        shown = {str(key): value for key, value in self.world.samples().items() if "sent_bytes" in key[0]}
        assert all(shown.get(key, 0) >= value for key, value in self.highest.items() if shown)
        self.highest |= shown

    @rule()
    def everything_is_there(self) -> None:
        self.program.tick()
        assert sum(self.world.values("service_map_sent_bytes_total")) == self.kernel_sent


class OneMapOfALargeLedger(OneMap):
    """The same when the ledger is not saved at every tick."""

    is_small = False


class ChangingMaps(OneMap):
    """The kernel half is replaced too, in an orderly way: totals go on."""

    number = 7

    @precondition(lambda self: self.kernel_sent > 0)
    @rule()
    def replace_kernel_half(self) -> None:
        self.program.tick()
        self.program.close()
        self.number += 2
        self.flows = Flows(number=self.number, room=8)
        self.world.maps = {"pairs": self.flows.pairs, "losses": self.flows.losses}
        self.open()
        self.tick()


for machine in (OneMap, OneMapOfALargeLedger, ChangingMaps):
    machine.TestCase.settings = settings(
        max_examples=12, stateful_step_count=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
    )
TestOneMap = OneMap.TestCase
TestOneMapOfALargeLedger = OneMapOfALargeLedger.TestCase
TestChangingMaps = ChangingMaps.TestCase
