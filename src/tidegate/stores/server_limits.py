"""What a server takes on at once: bodies up to a size, requests up to a number.

Both are refused before the app sees them, in the form of its own errors. tidegate's HTTP app keeps them with this too,
so nothing of Feast is imported here.
"""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus

import orjson
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LIMIT_BYTES = 32 * 1024 * 1024  # a push of a million values
LIMIT_REQUESTS = 1_000  # at once; more would only wait for a connection
SMALLER = "Send it in several requests."

Refusal = Callable[[HTTPStatus, str, str], Response]  # of a status, a cause and a next step


def said(status: HTTPStatus, cause: str, next_step: str = "") -> Response:
    """Return an error in FastAPI's form; a 503 says when to come back."""
    headers = {"Retry-After": "1"} if status == HTTPStatus.SERVICE_UNAVAILABLE else None
    body = orjson.dumps({"detail": f"{cause} {next_step}".rstrip()})
    return Response(body, status, headers, media_type="application/json")


class TooLarge(HTTPException):
    """A body has passed the limit. It is of the one kind that FastAPI lets through while it reads a body."""


class Limits:
    """Refuse a body above the limit (413), and a request where too many are being answered (503).

    What lies under the path `elsewhere` is let through: it has limits of its own.
    """

    def __init__(
        self,
        app: ASGIApp,
        size: int = LIMIT_BYTES,
        requests: int = LIMIT_REQUESTS,
        refuse: Refusal = said,
        elsewhere: str = "",
    ) -> None:
        self._app = app
        self._size = size
        self._requests = requests
        self._refuse = refuse
        self._elsewhere = elsewhere and f"{elsewhere}/"
        self._running = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand the request on with a counter on its body."""
        if scope["type"] != "http" or (self._elsewhere and scope["path"].startswith(self._elsewhere)):
            await self._app(scope, receive, send)
        elif self._running >= self._requests:
            cause = f"{self._requests:,} requests are being answered."
            await self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, cause, "")(scope, receive, send)
        elif announced(scope) > self._size:
            await self._too_large(scope, receive, send)
        else:
            await self._counting(scope, receive, send)

    async def _too_large(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, self._cause, SMALLER)(scope, receive, send)

    @property
    def _cause(self) -> str:
        return f"The body is larger than {self._size / 2**20:g} MiB."

    async def _counting(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._running += 1
        try:
            await self._app(scope, self._counted(receive), send)
        except TooLarge:
            await self._too_large(scope, receive, send)
        finally:
            self._running -= 1

    def _counted(self, receive: Receive) -> Receive:
        size = 0

        async def counted() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > self._size:
                raise TooLarge(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"{self._cause} {SMALLER}")
            return message

        return counted


def announced(scope: Scope) -> int:
    """Return the length that the request's header names; 0 where it names none."""
    lengths = [value for name, value in scope["headers"] if name == b"content-length"]
    return int(lengths[0]) if lengths and lengths[0].isdigit() else 0
