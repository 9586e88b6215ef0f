"""One line for each interesting event, the same in every process.

    12:03:04 keeper   folded 1,204 events in 31 ms

The second column is the part that speaks. With TIDEGATE_LOG_FORMAT=json the same event is one JSON object
with the full time in UTC, for machines to read. Times on the readable line are local: a person compares
them with a watch.
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Literal, TextIO

ROOT = "tidegate"
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def get_log(part: str) -> logging.Logger:
    """Return the log of one part: `get_log("keeper").info("folded %s events", f"{n:,}")`."""
    return logging.getLogger(f"{ROOT}.{part}")


def configure(level: str = "INFO", form: Literal["text", "json"] = "text", stream: TextIO | None = None) -> None:
    """Send every log line of this process to `stream` (stderr if unsaid) in one form.

    Libraries speak from WARNING upwards only. Calling it again replaces the earlier choice.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLine() if form == "json" else ReadableLine())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger(ROOT).setLevel(level)


class ReadableLine(logging.Formatter):
    """`12:03:04 keeper   folded 1,204 events in 31 ms`, with the level only where it is not INFO."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, and the traceback below it where one was passed."""
        clock = datetime.fromtimestamp(record.created, UTC).astimezone().strftime("%H:%M:%S")
        level = "" if record.levelno == logging.INFO else f"{record.levelname.lower()}: "
        line = f"{clock} {_part(record):<8} {level}{record.getMessage()}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class JsonLine(logging.Formatter):
    """One JSON object a line; what was passed as `extra` becomes keys of it."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        event: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "part": _part(record),
            "message": record.getMessage(),
        }
        event |= {key: value for key, value in vars(record).items() if key not in _STANDARD}
        if record.exc_info:
            event["error"] = self.formatException(record.exc_info)
        return json.dumps(event, default=str, ensure_ascii=False)


def _part(record: logging.LogRecord) -> str:
    """Return 'keeper' for 'tidegate.keeper', and a library's top-level name for its loggers."""
    names = record.name.split(".")
    return names[1] if names[0] == ROOT and len(names) > 1 else names[0]
