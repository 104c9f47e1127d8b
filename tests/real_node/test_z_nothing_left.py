"""The last test of the session: the node is taken down, and the machine around it is as it was before."""

from __future__ import annotations

import pytest

from tests.real_node.bed import Bed, Ground

pytestmark = [pytest.mark.node, pytest.mark.kernel, pytest.mark.slow, pytest.mark.timeout(120)]


def test_nothing_is_left(bed: Bed) -> None:
    left = bed.end()
    assert not any(left.values()), left
    assert Ground.seen() == bed.ground
