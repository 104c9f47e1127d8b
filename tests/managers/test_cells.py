"""Small state of programs."""

from __future__ import annotations

from pathlib import Path

import pytest

from conductor.errors import BudgetExceeded, StateUnwritable
from conductor.managers.cells import CELL_BYTES, CellFiles
from conductor.model.ids import Name

P = Name("p")


@pytest.fixture
def cells(tmp_path: Path) -> CellFiles:
    made = CellFiles(root=tmp_path / "cells")
    made.prepare()
    return made


def test_what_was_stored_is_loaded_and_forgotten(cells: CellFiles) -> None:
    assert cells.cell(P).load() is None
    cells.cell(P).store(b"one")
    cells.cell(P).store(b"two")
    assert cells.cell(P).load() == b"two"
    assert cells.cell(Name("q")).load() is None
    cells.forget(P)
    assert cells.cell(P).load() is None


@pytest.mark.parametrize("change", [lambda raw: raw[:-1], lambda raw: raw + b"x", lambda _: b"", lambda _: b"\0" * 50])
def test_a_torn_cell_is_kept_aside_and_empty(cells: CellFiles, tmp_path: Path, change: object) -> None:
    cells.cell(P).store(b"state")
    path = tmp_path / "cells" / "p.state"
    path.write_bytes(change(path.read_bytes()))  # type: ignore[operator]
    assert cells.cell(P).load() is None
    assert [p.name.startswith("p.state.bad-") for p in path.parent.iterdir()] == [True]


def test_a_cell_is_bounded(cells: CellFiles) -> None:
    with pytest.raises(BudgetExceeded):
        cells.cell(P).store(b"x" * (CELL_BYTES + 1))
    assert cells.cell(P).load() is None


def test_a_disk_that_refuses_keeps_what_was(cells: CellFiles, tmp_path: Path) -> None:
    cells.cell(P).store(b"kept")
    moved = (tmp_path / "cells").rename(tmp_path / "elsewhere")
    with pytest.raises(StateUnwritable):
        cells.cell(P).store(b"lost")
    moved.rename(tmp_path / "cells")
    assert cells.cell(P).load() == b"kept"
