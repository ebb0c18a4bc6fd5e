"""The node's log: one line per event on standard error, as JSON with the event's fields."""

from __future__ import annotations

import json
import logging
import sys
from typing import Final

ROOT_NAME: Final = "bitenergy"
_OWN_FIELDS = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonLines(logging.Formatter):
    """Writes a record as one line of JSON: time, level, source, text, then its fields."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line: dict[str, object] = {
            "time_ms": int(record.created * 1000),
            "level": record.levelname.lower(),
            "source": record.name.removeprefix(f"{ROOT_NAME}."),
            "text": record.getMessage(),
        }
        for name, value in vars(record).items():
            if name not in _OWN_FIELDS:
                line[name] = value.hex() if isinstance(value, bytes) else value
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def start_log(level: str) -> None:
    """Send the node's log, from `level` on, to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    root = logging.getLogger(ROOT_NAME)
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    root.propagate = False
