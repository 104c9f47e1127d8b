"""A stage in virtual time over the fake."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.controller.stage import Stage
from tests.controller.stories import Story
from tests.fakes import virtual_time
from tests.fakes.cluster_connection import FakeServer


@pytest.fixture
def told() -> Callable[[Story], None]:
    """Tell a story to its end."""

    def tell(story: Story) -> None:
        async def whole() -> None:
            server = FakeServer()
            stage = Stage.virtual(server.client("admin").cluster, lambda who: server.client(who).cluster)
            await story(stage, server)

        virtual_time.run(whole())

    return tell
