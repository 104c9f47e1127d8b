"""A guest has no file, no socket, no environment and no argument: what WASI has for these answers so."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from conductor.wasm.hostcalls.wasi import FUNCTIONS
from tests.wasm.reaching import SLOTS, number_of, put, reaching

BAD_DESCRIPTOR, NOT_THERE = 8, 52
CLOSED = sorted(name for name in FUNCTIONS if name.startswith(("path_", "sock_")))


def answer(place: Path, name: str, *arguments: int) -> tuple[int, bytes]:
    """What a call answers, and what it wrote to where two numbers were wanted."""
    with reaching(place / "cells") as guest:
        put(guest, SLOTS, struct.pack(f"<{len(arguments)}Q", *arguments))
        put(guest, 4096, b"\xff" * 8)
        told = guest.call("conductor_v1_tick", number_of(name), cpu=10, wall=60)
        assert guest.memory is not None
        return told, bytes(guest.memory.read(4096, 8))


@pytest.mark.parametrize("name", CLOSED)
def test_there_is_no_file_and_no_socket(tmp_path: Path, name: str) -> None:
    told, _ = answer(tmp_path, name, *range(3, 12))
    assert told in {BAD_DESCRIPTOR, NOT_THERE}


@pytest.mark.parametrize("name", ["environ_sizes_get", "args_sizes_get"])
def test_there_is_no_environment_and_no_argument(tmp_path: Path, name: str) -> None:
    assert answer(tmp_path, name, 4096, 4100) == (0, bytes(8))


def test_all_of_them_were_asked() -> None:
    assert {"path_open", "sock_accept", "sock_send"} <= set(CLOSED)
