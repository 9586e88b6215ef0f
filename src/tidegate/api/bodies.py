"""Bodies: how much may be in them, and what JSON is."""

from __future__ import annotations

from typing import Any

import orjson
from fastapi import Request

from tidegate.errors import IngestError

LIMIT_BYTES = 8 * 1024 * 1024
LIMIT_ROWS = 10_000


async def read_rows(request: Request, what: str) -> list[Any]:
    """Return the JSON objects of a body: one object, or a list of them. Raises IngestError."""
    shape = f"Send one of the {what} as an object, or a list of them."
    try:
        found = orjson.loads(await request.body())
    except orjson.JSONDecodeError as error:
        raise IngestError(f"The body is not JSON: {error}.", shape) from None
    rows = found if isinstance(found, list) else [found]
    for place, row in enumerate(rows):
        if not isinstance(row, dict):
            raise IngestError(f"Number {place} of the list is no object.", shape)
    if len(rows) > LIMIT_ROWS:
        raise IngestError(f"{len(rows):,} {what} are too many at once.", f"Send at most {LIMIT_ROWS:,}.")
    return rows
