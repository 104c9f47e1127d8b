"""What docs/bpfman.md shows as a manifest is one."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from conductor.model.kernel import KernelProgramSpec
from conductor.model.manifest import parse_manifest

DOCUMENT = Path(__file__).parents[2] / "docs/bpfman.md"


def test_the_manifest_that_is_shown_is_understood() -> None:
    (shown,) = re.findall(r"```yaml\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    spec = parse_manifest(yaml.safe_load(shown))
    assert isinstance(spec, KernelProgramSpec)
    assert [len(program.links) for program in spec.programs] == [1, 1]
