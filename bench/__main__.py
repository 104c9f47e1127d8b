"""`nox -s bench [-- NAME...]`: run the measurements, print tables of ratios, write bench/results.json.

The file keeps the last figures of what was not measured this time.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.table import Row, show

PARTS = ("page", "map", "start", "road", "wasm_map", "wasm_ring", "wasm_load", "wasm_idle", "fleet")


RESULTS = Path(__file__).with_name("results.json")
Record = dict[str, Any]


def main() -> None:
    """Run the named parts, or all."""
    parser = argparse.ArgumentParser(prog="nox -s bench --")
    parser.add_argument("parts", nargs="*", metavar="NAME", help=f"of {', '.join(PARTS)}; all where none is named")
    parser.add_argument("--nodes", default="", metavar="3,5000", help="sizes of the fleet (part fleet)")
    given = parser.parse_args()
    names = given.parts or list(PARTS)
    if unknown := sorted(set(names) - set(PARTS)):
        raise SystemExit(f"no such part: {', '.join(unknown)}; there are {', '.join(PARTS)}")
    if given.nodes:
        os.environ["CONDUCTOR_BENCH_NODES"] = given.nodes
    rows: list[Row] = []
    records: list[Record] = []
    for name in names:
        print(f"measuring {name} ...", file=sys.stderr, flush=True)
        found = importlib.import_module(f"bench.{name}").measure()
        rows += found
        records += [{"part": name, **asdict(row), "ratio": row.ratio, "verdict": row.verdict} for row in found]
    show(rows)
    RESULTS.write_text(json.dumps([*_kept(records), *records], indent=1) + "\n")


def _kept(records: list[Record]) -> list[Record]:
    """Answer what the file holds of parts and groups that were not measured now."""
    try:
        before = json.loads(RESULTS.read_text())
    except (OSError, ValueError):
        return []
    now = {(record["part"], record["group"]) for record in records}
    return [record for record in before if "part" in record and (record["part"], record["group"]) not in now]


if __name__ == "__main__":
    main()
