"""What in the chart follows from the code: `python -m tests.charts.written` writes the CRDs again."""

from __future__ import annotations

from pathlib import Path

import yaml
from typing_extensions import override

from conductor.model.schema.kinds import KINDS, Kind, definition

__all__ = ["CRDS", "path_of", "text_of"]

CRDS = Path(__file__).parents[2] / "charts" / "ebpfconductor" / "crds"
HEAD = "# Written by `nox -s crds` from conductor/model/schema.\n"


def path_of(kind: Kind) -> Path:
    """The file of a kind."""
    return CRDS / f"{kind.plural}.yaml"


def text_of(kind: Kind) -> str:
    """What the file of a kind should hold."""
    return HEAD + yaml.dump(definition(kind), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)


class _Dumper(yaml.SafeDumper):
    """YAML without anchors: parts of the tree that are used twice are written twice."""

    @override
    def ignore_aliases(self, data: object) -> bool:
        return True


if __name__ == "__main__":
    CRDS.mkdir(parents=True, exist_ok=True)
    for each in KINDS.values():
        path_of(each).write_text(text_of(each))
