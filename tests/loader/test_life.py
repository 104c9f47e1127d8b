"""Load, attach, look, detach, unload: what every client does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.kernel


def test_a_tracepoint_program_lives_and_leaves_nothing(daemon, compiled: Callable[[str], Path]) -> None:
    async def life(client) -> None:
        (loaded,) = await client.load(compiled("counters"), ("on_enter", 2), metadata={"owner": "exp"})
        id_ = loaded.kernel_info.id
        link = await client.tracepoint(id_)
        got = await client.get(id_)
        assert got.info.links == [link]
        assert (got.info.name, got.kernel_info.program_type) == ("on_enter", 2)
        assert await client.runs(id_) > 0
        assert f"links/{link}" in daemon.pins()
        await client.unload(id_)

    daemon.ask(life)
    assert daemon.pins() == set()
