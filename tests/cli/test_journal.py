from __future__ import annotations

import json
import subprocess
import sys

SCRIPT = """
import logging, sys
from conductor.cli import journal
from conductor.config import Config
journal.configure(Config.parse(flags={"log_format": sys.argv[1], "log_level": sys.argv[2]}, environ={}, file={}).log)
log = logging.getLogger("conductor.test")
log.debug("quiet")
log.warning("line %d", 1, extra={"program": "flows"})
try:
    1 / 0
except ZeroDivisionError:
    log.exception("failed")
"""


def logged(form: str, level: str) -> list[str]:
    done = subprocess.run([sys.executable, "-c", SCRIPT, form, level], capture_output=True, text=True, check=True)
    assert done.stdout == ""
    return done.stderr.splitlines()


def test_json_is_an_object_a_line_with_extras_and_trace() -> None:
    first, second = map(json.loads, logged("json", "info"))
    assert first | {"time": ""} == {
        "time": "",
        "level": "warning",
        "logger": "conductor.test",
        "message": "line 1",
        "program": "flows",
    }
    assert first["time"].endswith("Z")
    assert "ZeroDivisionError" in second["trace"]


def test_text_names_level_and_logger_and_leaves_out_what_is_below() -> None:
    lines = logged("text", "warning")
    assert lines[0].endswith("Z WARNING conductor.test: line 1")
    assert "quiet" not in "".join(lines)
