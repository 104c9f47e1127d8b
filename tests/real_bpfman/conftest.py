"""Each daemon for the tests of a module, and a bed for each test.

`conductor loader` is always tried; the Rust daemon where CONDUCTOR_BPFMAN_RPC names it, the Go daemon where
CONDUCTOR_GO_BPFMAN does: `nox -s bpfman [-- --go-daemon PATH]` sets them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from conductor.bpfman.flavour import Flavour
from tests.real_bpfman.bed import BINARIES, Bed, made, started
from tests.real_bpfman.daemons import RealDaemon

DAEMONS = [
    pytest.param(Flavour.LOADER, id="loader"),
    pytest.param(Flavour.RUST, id="rust", marks=pytest.mark.bpfman),
    pytest.param(Flavour.GO, id="go", marks=pytest.mark.bpfman),
]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what needs a daemon that was not given; the session `bpfman` says which."""
    left = [item for item in items if item.get_closest_marker("bpfman") and not _given(item)]
    if left:
        config.hook.pytest_deselected(items=left)
        items[:] = [item for item in items if item not in left]


def _given(item: pytest.Item) -> bool:
    assert isinstance(item, pytest.Function)
    flavour = next(value for value in item.callspec.params.values() if isinstance(value, Flavour))
    return bool(os.environ.get(BINARIES[flavour]))


@pytest.fixture(scope="module", params=DAEMONS)
def daemon(request: pytest.FixtureRequest) -> Iterator[RealDaemon]:
    """Each daemon that there is, one life for a module's tests."""
    with started(request.param) as daemon:
        yield daemon


@pytest.fixture
def bed(daemon: RealDaemon) -> Iterator[Bed]:
    """A bed in which nothing may be left."""
    bed = made(daemon)
    yield bed
    bed.sweep()
