"""`conductor units` as a user calls it."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from conductor.cli.menu import conductor
from conductor.cli.units import NAMES
from conductor.errors import StateUnwritable


def test_printed_units_are_those_that_are_written(tmp_path: Path) -> None:
    printed = CliRunner().invoke(conductor, ["units"], catch_exceptions=False).output
    written = CliRunner().invoke(conductor, ["units", "--to", str(tmp_path)], catch_exceptions=False).output
    assert written.split() == [str(tmp_path / name) for name in NAMES]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(NAMES)
    for name in NAMES:
        assert (tmp_path / name).read_text() in printed


def test_they_start_this_very_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "conductor"
    program.write_text("")
    program.chmod(0o755)
    monkeypatch.setattr("sys.argv", [str(program), "units"])
    printed = CliRunner().invoke(conductor, ["units"], catch_exceptions=False).output
    assert f"ExecStart={program} loader\n" in printed
    assert "/usr/local/bin/conductor" not in printed


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(StateUnwritable, match="choose another folder"):
        CliRunner().invoke(conductor, ["units", "--to", str(tmp_path / "none")], catch_exceptions=False)
