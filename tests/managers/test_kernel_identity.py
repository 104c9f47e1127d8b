from __future__ import annotations

from pathlib import Path

import pytest

from conductor.errors import StateUnwritable
from conductor.managers.kernel_identity import identity


def test_id_is_made_once_and_kept(tmp_path: Path) -> None:
    assert identity(tmp_path / "identity") == identity(tmp_path / "identity")
    assert identity(tmp_path / "other") != identity(tmp_path / "identity")


@pytest.mark.parametrize("content", [b"", b"host-1:/var/lib\n", b"\xff\xfe", b"0" * 31])
def test_what_is_no_id_is_put_aside(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "identity"
    path.write_bytes(content)
    made = identity(path)
    assert identity(path) == made
    (aside,) = tmp_path.glob("identity.bad-*")
    assert aside.read_bytes() == content


def test_id_that_cannot_be_kept_is_none(tmp_path: Path) -> None:
    with pytest.raises(StateUnwritable):
        identity(tmp_path / "missing" / "identity")
