"""A disk that is really full: a small tmpfs under the state directory."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from conductor.errors import StateUnwritable
from conductor.model.ids import Name
from conductor.model.status import State
from tests.managers.program_world import ProgramWorld, until, until_state, user


@pytest.fixture
def filler(world: ProgramWorld) -> Iterator[Path]:
    """A file that fills the disk when it is written."""
    place = world.folder / "state"
    place.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(place)], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        pytest.skip(f"needs to mount a tmpfs: {done.stderr.strip()}")
    try:
        yield place / "filler"
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(b"x" * 4096)
    assert shutil.disk_usage(path.parent).free == 0


def empty(path: Path) -> None:
    path.unlink()


async def test_nothing_is_kept_half_and_programs_go_on(world: ProgramWorld, filler: Path) -> None:
    async with world.agent() as programs:
        await programs.load(user())
        fill(filler)
        with pytest.raises(StateUnwritable, match="No space left on device"):
            await programs.load(user("q"))
        with pytest.raises(StateUnwritable):
            await programs.update(user(step=5))
        assert [s.spec for s in programs.observed()] == [user()]
        status = await until_state(programs, "p", State.RUNNING, "TickFailed")  # its own state is refused too
        assert "No space left" in status.condition.message
        empty(filler)
        await until_state(programs, "p", State.RUNNING, "")
        await programs.load(user("q"))
    assert [path.name for path in (world.folder / "state" / "wishes").iterdir()] == ["grpc.json"]


async def test_an_agent_starts_on_a_full_disk(world: ProgramWorld, filler: Path) -> None:
    async with world.agent() as programs:
        await programs.load(user())
    fill(filler)
    async with world.agent() as programs:
        await until(lambda: programs.get(Name("p")).condition.state is State.RUNNING)
        assert programs.get(Name("p")).spec == user()
