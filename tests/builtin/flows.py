"""A kernel half in memory for service_map: connections as numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from conductor.builtin.service_map import CLIENT, PAIR, SERVER, TRAFFIC
from conductor.model.grants import MapType
from tests.builtin.lan import packed
from tests.builtin.table import Table
from tests.builtin.world import FakeState, World

__all__ = ["Flows"]


class Flows:
    """The maps `pairs` and `losses`, written as the kernel half would."""

    def __init__(self, *, number: int = 7, room: int = 1024) -> None:
        self.pairs = Table(key_size=40, value_size=32, number=number, room=room)
        self.losses = Table(key_size=4, value_size=8, number=number + 1, type_=MapType.ARRAY)
        self.lose()

    def world(self, path: Path) -> World:
        return World(state=FakeState(path / "state"), maps={"pairs": self.pairs, "losses": self.losses})

    def add(
        self,
        role: str,
        local: str,
        remote: str,
        port: int,
        *,
        sent: int = 0,
        received: int = 0,
        opened: int = 0,
        active: int = 0,
    ) -> None:
        key = np.zeros(1, PAIR)
        key["netns"], key["port"], key["role"] = 4026531840, port, {"client": CLIENT, "server": SERVER}[role]
        key["local"], key["remote"] = np.void(packed(local)), np.void(packed(remote))
        value = np.frombuffer(self.pairs.lookup(key.tobytes()) or bytes(32), TRAFFIC).copy()
        value["counted"] += np.array([[sent, received, opened]], np.uint64)
        value["active"] += active
        self.pairs.update(key.tobytes(), value.tobytes())

    def lose(self, pairs: int = 0, sent: int = 0, received: int = 0, sockets: int = 0) -> None:
        for index, number in enumerate((pairs, sent, received, sockets)):
            self.losses.update(index.to_bytes(4, "little"), number.to_bytes(8, "little"))
