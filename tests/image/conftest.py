"""The image of this tree; `nox -s image` builds and names it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

IMAGE = "CONDUCTOR_IMAGE"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if IMAGE not in os.environ:
        left = [item for item in items if item.get_closest_marker("image")]
        config.hook.pytest_deselected(items=left)
        items[:] = [item for item in items if item not in left]


@pytest.fixture(scope="session")
def image() -> Path:
    """A folder with `image.tar` and `rootfs`."""
    return Path(os.environ[IMAGE])
