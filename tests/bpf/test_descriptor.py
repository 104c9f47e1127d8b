from __future__ import annotations

import os

import pytest

from conductor.bpf.descriptor import Descriptor


def is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def test_leaving_the_block_closes() -> None:
    with Descriptor(os.open("/dev/null", os.O_RDONLY)) as descriptor:
        fd = descriptor.fileno()
    assert not is_open(fd)
    assert descriptor.closed


def test_a_second_close_leaves_a_reused_number_alone() -> None:
    descriptor = Descriptor(os.open("/dev/null", os.O_RDONLY))
    fd = descriptor.fileno()
    descriptor.close()
    again = os.open("/dev/null", os.O_RDONLY)
    assert again == fd
    descriptor.close()
    assert is_open(again)
    os.close(again)


def test_use_after_close_is_refused() -> None:
    descriptor = Descriptor(os.open("/dev/null", os.O_RDONLY))
    descriptor.close()
    with pytest.raises(ValueError, match="closed"):
        descriptor.fileno()


def test_detach_gives_the_number_away() -> None:
    with Descriptor(os.open("/dev/null", os.O_RDONLY)) as descriptor:
        fd = descriptor.detach()
    assert is_open(fd)
    os.close(fd)


def test_a_forgotten_one_warns_and_is_not_closed_behind_the_readers_back() -> None:
    descriptor = Descriptor(os.open("/dev/null", os.O_RDONLY))
    fd = descriptor.fileno()
    with pytest.warns(ResourceWarning, match="never closed"):
        del descriptor
    assert is_open(fd)
    os.close(fd)
