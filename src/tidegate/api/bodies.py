"""Bodies: how large they may be, and what JSON is in them."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import orjson
from fastapi import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tidegate.api.problems import problem
from tidegate.errors import IngestError

LIMIT_BYTES = 8 * 1024 * 1024
LIMIT_ROWS = 10_000


class TooLarge(Exception):
    """A body has passed the limit."""


class LimitBody:
    """Refuse a body above the limit as soon as that is known, announced or not."""

    def __init__(self, app: ASGIApp, limit: int = LIMIT_BYTES) -> None:
        self._app = app
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand the request on with a counter on its body."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            self._check(_announced(scope))
            await self._app(scope, self._counted(receive), send)
        except TooLarge:
            text = f"The body is larger than {self._limit // 2**20} MiB."
            answer = problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, text, "Send it in several requests.")
            await answer(scope, receive, send)

    def _counted(self, receive: Receive) -> Receive:
        size = 0

        async def counted() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            self._check(size)
            return message

        return counted

    def _check(self, size: int) -> None:
        if size > self._limit:
            raise TooLarge


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


def _announced(scope: Scope) -> int:
    lengths = [value for name, value in scope["headers"] if name == b"content-length"]
    return int(lengths[0]) if lengths and lengths[0].isdigit() else 0
