"""Bad manifests are refused as the API server refuses them."""

from __future__ import annotations

import pytest

from conductor.errors import InvalidSpec
from conductor.model.manifest import parse_manifest
from conductor.model.schema.check import causes_of
from conductor.model.schema.kinds import KINDS
from tests.model.bad_manifests import BAD, UNDECODABLE, Bad

ROWS = pytest.mark.parametrize("bad", [*BAD, *UNDECODABLE], ids=lambda bad: bad.name)


@ROWS
def test_every_cause_is_named_in_the_words_of_the_api_server(bad: Bad) -> None:
    causes = causes_of(bad.document, KINDS[bad.document["kind"]])
    assert sorted({(cause.field, cause.message) for cause in causes}) == sorted(bad.causes)


@ROWS
def test_the_first_of_them_is_what_is_said_and_nothing_of_it_is_changed(bad: Bad) -> None:
    with pytest.raises(InvalidSpec) as refused:
        parse_manifest(bad.document)
    field, problem = refused.value.field, refused.value.problem
    assert [message for of, message in bad.causes if of == field and problem.startswith(message)]


def test_no_name_is_there_twice() -> None:
    names = [bad.name for bad in (*BAD, *UNDECODABLE)]
    assert len(names) == len({*names})
