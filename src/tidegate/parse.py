"""From what files and requests hold to what columns take.

Values arrive as text, numbers or JSON. Each function returns the typed value, or raises Flaw with the rule
that the value breaks; the rules about meaning (known event type, not in the future) are PostgreSQL's, in
`ingest.flaw`.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

import orjson

# The unit of a bare number is told by its size: seconds reach 1e11 in the year 5138, milliseconds in 1973.
_UNITS = ((1e11, 1.0), (1e14, 1e3), (1e17, 1e6), (math.inf, 1e9))
# Eight digits are a date (20240131), not a second of 1970.
_NUMBER = re.compile(r"(?!\d{8}$)[+-]?\d+(\.\d*)?([eE][+-]?\d+)?")
_SHOWN = 40


class Flaw(Exception):
    """A value that its column cannot take; the text is the rule."""


def text(value: Any, column: str) -> str | None:
    """Return text; numbers become their digits, and what is missing stays missing."""
    if value is None or isinstance(value, str):
        return _storable(value, column) if value else value
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise Flaw(f"{column} must be text")
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def number(value: Any, column: str) -> float | None:
    """Return a number, also one written as text. Infinity and NaN pass: PostgreSQL's rule names them."""
    if value is None or value == "":
        return None
    if isinstance(value, bool):
        raise Flaw(f"{column} must be a number")
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        raise Flaw(f"{column} must be a number, not {shown(value)}") from None


def flag(value: Any, column: str) -> bool | None:
    """Return true or false, also written as text or as 1 and 0."""
    if value is None or value == "" or isinstance(value, bool):
        return value if value != "" else None
    known = {
        "true": True,
        "t": True,
        "yes": True,
        "1": True,
        "false": False,
        "f": False,
        "no": False,
        "0": False,
    }
    try:
        return known[str(value).strip().lower()]
    except KeyError:
        raise Flaw(f"{column} must be true or false, not {shown(value)}") from None


def moment(value: Any, column: str) -> datetime | None:
    """Return a time with a zone: from ISO 8601, or from seconds, milli-, micro- or nanoseconds since 1970.

    A time that names no zone is UTC.
    """
    if value is None or value == "":
        return None
    try:
        return _moment(value)
    except (TypeError, ValueError, OverflowError, OSError):
        raise Flaw(f"{column} must be ISO 8601 or seconds since 1970, not {shown(value)}") from None


def document(value: Any, column: str) -> str | None:
    """Return JSON text of a value, or of text that holds JSON; that it be an object is PostgreSQL's rule."""
    if value is None or value == "":
        return None
    try:
        parsed = orjson.loads(value) if isinstance(value, str) else value
        return None if parsed is None else _storable(orjson.dumps(parsed, default=str).decode(), column)
    except (orjson.JSONDecodeError, TypeError):
        raise Flaw(f"{column} must be JSON, not {shown(value)}") from None


def shown(value: Any) -> str:
    """Return a value as a message may repeat it: short and printable."""
    said = repr(value)
    return said if len(said) <= _SHOWN else f"{said[:_SHOWN]}…"


def as_given(row: Any) -> str:
    """Return JSON text of a row as it came, with what PostgreSQL cannot hold replaced."""
    return orjson.dumps(_replaced(row), default=shown).decode()


def _moment(value: Any) -> datetime:
    if isinstance(value, datetime):
        return value if value.tzinfo else value.replace(tzinfo=UTC)
    if isinstance(value, date):
        return datetime.combine(value, time(), UTC)
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
        raise TypeError
    if isinstance(value, str) and not _NUMBER.fullmatch(value.strip()):
        return _moment(datetime.fromisoformat(value.strip()))
    return _from_epoch(float(value))


def _from_epoch(value: float) -> datetime:
    if not math.isfinite(value):
        raise OverflowError
    unit = next(unit for limit, unit in _UNITS if abs(value) < limit)
    return datetime.fromtimestamp(value / unit, UTC)


def _storable(value: str, column: str) -> str:
    """Return text that PostgreSQL can hold: no NUL, no half of a surrogate pair."""
    if "\x00" in value or "\\u0000" in value or (not value.isascii() and _broken(value)):
        raise Flaw(f"{column} holds a character that PostgreSQL cannot store")
    return value


def _broken(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return True
    return False


def _replaced(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\x00", "\ufffd").encode(errors="replace").decode()
    if isinstance(value, dict):
        return {_replaced(str(key)): _replaced(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_replaced(inner) for inner in value]
    if isinstance(value, int) and value.bit_length() > 63:  # more than JSON writers agree on
        return str(value)
    return value
