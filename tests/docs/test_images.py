"""docs/images.md is true: its registries file is one."""

from __future__ import annotations

import re

from conductor.model.image import Reference
from conductor.oci.registries import RegistriesConfig
from conductor.oci.registry_entries import SETTINGS
from tests.docs.reading import DOCS, blocks

TEXT = (DOCS / "images.md").read_text()


def test_the_registries_file_is_read_and_means_what_it_says() -> None:
    (shown,) = blocks(TEXT, "toml")
    config = RegistriesConfig.parse(shown, where="images.md", environ={})
    roots = [endpoint.root for endpoint in config.endpoints(Reference.parse("ghcr.io/acme/tool"))]
    assert roots == ["https://mirror.example:5000/v2/acme/tool", "https://ghcr.io/v2/acme/tool"]
    assert config.endpoints(Reference.parse("old.example:5000/a"))[0].plain


def test_every_setting_has_its_row() -> None:
    _, _, part = TEXT.partition("| setting | of |")
    assert set(re.findall(r"^\| `(\w+)` \|", part.partition("\n\n")[0], re.MULTILINE)) == set(SETTINGS)
