"""Each registry for the tests of a module. The real ones are those of the session `registry`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.e2e.node import launched
from tests.oci.registry.houses import HOUSES, House, kind
from tests.oci.registry.site import Halves, Site, built

KINDS = [kind(name) for name in HOUSES]
PASSWORD = "docker-registry, password"


@pytest.fixture(scope="module", params=KINDS)
def house(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Each registry that there is, one life for a module's tests."""
    with HOUSES[request.param](tmp_path_factory.mktemp("registry")) as house:
        yield house


@pytest.fixture(scope="session")
def halves(tmp_path_factory: pytest.TempPathFactory) -> Halves:
    """Both halves of a program, built once."""
    return built(tmp_path_factory.mktemp("guest") / "syscall_counter")


@pytest.fixture
def site(request: pytest.FixtureRequest, tmp_path: Path, halves: Halves) -> Iterator[Site]:
    """A node that is not started yet, and a registry of its own; a parameter names another one."""
    with launched() as node, ExitStack() as registry:
        house = registry.enter_context(HOUSES[getattr(request, "param", PASSWORD)](tmp_path))
        yield Site(node=node, house=house, halves=halves, registry=registry)
