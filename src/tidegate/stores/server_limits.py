"""What a server takes on at once: bodies up to a size, requests up to a number.

Both are refused in FastAPI's own form, before Feast sees them.
"""

from __future__ import annotations

from http import HTTPStatus

import orjson
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LIMIT_BYTES = 32 * 1024 * 1024  # a push of a million values
LIMIT_REQUESTS = 1_000  # at once; more would only wait for a connection


class TooLarge(HTTPException):
    """A body has passed the limit. It is of the one kind that FastAPI lets through while it reads a body."""


class Limits:
    """Refuse a body above the limit (413), and a request where too many are being answered (503)."""

    def __init__(self, app: ASGIApp, size: int = LIMIT_BYTES, requests: int = LIMIT_REQUESTS) -> None:
        self._app = app
        self._size = size
        self._requests = requests
        self._running = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand the request on with a counter on its body."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif self._running >= self._requests:
            await unavailable(f"{self._requests} requests are being answered.")(scope, receive, send)
        elif announced(scope) > self._size:
            await said(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, self._too_large)(scope, receive, send)
        else:
            await self._counting(scope, receive, send)

    @property
    def _too_large(self) -> str:
        return f"The body is larger than {self._size // 2**20} MiB. Send it in several requests."

    async def _counting(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._running += 1
        try:
            await self._app(scope, self._counted(receive), send)
        except TooLarge as error:
            await said(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, error.detail)(scope, receive, send)
        finally:
            self._running -= 1

    def _counted(self, receive: Receive) -> Receive:
        size = 0

        async def counted() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > self._size:
                raise TooLarge(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, self._too_large)
            return message

        return counted


def unavailable(text: str) -> Response:
    """Return a 503 that says when to come back."""
    answer = said(HTTPStatus.SERVICE_UNAVAILABLE, text)
    answer.headers["Retry-After"] = "1"
    return answer


def said(status: HTTPStatus, text: str) -> Response:
    """Return an error in FastAPI's form."""
    return Response(orjson.dumps({"detail": text}), status, media_type="application/json")


def announced(scope: Scope) -> int:
    """Return the length that the request's header names; 0 where it names none."""
    lengths = [value for name, value in scope["headers"] if name == b"content-length"]
    return int(lengths[0]) if lengths and lengths[0].isdigit() else 0
