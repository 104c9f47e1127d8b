"""What in the documents follows from the code is as the code says."""

from __future__ import annotations

import pytest

from tests.docs.reading import DOCS
from tests.docs.written import PARTS, Part, part, text


@pytest.mark.parametrize("which", PARTS, ids=" ".join)
def test_a_part_is_as_the_code_says(which: Part) -> None:
    document, name = which
    (shown,) = part(name).findall((DOCS / document).read_text())
    assert shown == text(PARTS[which]()), "./dev nox -s docs writes it again"
