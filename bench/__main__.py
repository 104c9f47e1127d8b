"""`nox -s bench [-- NAME...]`: run the measurements, print one table of ratios, write bench/results.json."""

from __future__ import annotations

import importlib
import json
import sys
from dataclasses import asdict
from pathlib import Path

from bench.table import Row, show

PARTS = ("page", "map", "start", "road", "wasm_map", "wasm_ring", "wasm_load", "wasm_idle", "fleet")


def main() -> None:
    """Run the named parts, or all."""
    names = sys.argv[1:] or list(PARTS)
    if unknown := sorted(set(names) - set(PARTS)):
        raise SystemExit(f"no such part: {', '.join(unknown)}; there are {', '.join(PARTS)}")
    rows: list[Row] = []
    for name in names:
        print(f"measuring {name} ...", file=sys.stderr, flush=True)
        rows += importlib.import_module(f"bench.{name}").measure()
    show(rows)
    found = [asdict(row) | {"ratio": row.ratio, "verdict": row.verdict} for row in rows]
    Path(__file__).with_name("results.json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
