"""Each registry for the tests of a module. The real ones are those of the session `registry`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.oci.registry.houses import HOUSES, House, kind

KINDS = [kind(name) for name in HOUSES]


@pytest.fixture(scope="module", params=KINDS)
def house(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Each registry that there is, one life for a module's tests."""
    with HOUSES[request.param](tmp_path_factory.mktemp("registry")) as house:
        yield house
