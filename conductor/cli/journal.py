"""Log lines of the server processes, on standard error: text for people, JSON for collectors."""

from __future__ import annotations

import json
import logging
import time

from typing_extensions import override

from conductor.config import LogConfig

__all__ = ["configure"]

_STANDARD = set(vars(logging.makeLogRecord({}))) | {"message", "asctime"}


class _Text(logging.Formatter):
    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%SZ")
        self.converter = time.gmtime


class _Json(logging.Formatter):
    @override
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {key: value for key, value in vars(record).items() if key not in _STANDARD}
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def configure(config: LogConfig) -> None:
    """Send every log line to standard error in the form that was asked for."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Json() if config.format == "json" else _Text())
    logging.basicConfig(level=config.level.upper(), handlers=[handler], force=True)
