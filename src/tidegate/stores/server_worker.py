"""A worker that sends an answer's head and body in one piece.

uvicorn hands them to the transport one after the other, and uvloop sends each at once. The first one wakes the
client, who finds half an answer; where client and server share processors that was a third of a small request's time.
"""

from __future__ import annotations

import asyncio
import gc
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn_worker import UvicornWorker

GARBAGE_THRESHOLDS = (50_000, 20, 20)  # an answer of 500 vectors is thousands of lists, none of them garbage


class Gathering:
    """A transport that sends what is written in one turn of the event loop together."""

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._written: list[bytes] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Send data before the event loop waits for anything."""
        if not self._written:
            self._loop.call_soon(self.flush)
        self._written.append(data)

    def close(self) -> None:
        """Close the connection when everything is sent."""
        self.flush()
        self._transport.close()

    def flush(self) -> None:
        """Send what waits."""
        written, self._written = self._written, []
        if written:
            self._transport.writelines(written)


class OnePiece(HttpToolsProtocol):
    """uvicorn's HTTP on a gathering transport."""

    def connection_made(self, transport: Any) -> None:
        """Take a connection."""
        super().connection_made(Gathering(transport))  # type: ignore[arg-type]

    def on_response_complete(self) -> None:
        """Send the answer."""
        self.transport.flush()  # type: ignore[attr-defined]
        super().on_response_complete()


class FeatureWorker(UvicornWorker):
    """A worker of a feature server."""

    CONFIG_KWARGS = {"loop": "uvloop", "http": OnePiece}  # noqa: RUF012  # as the class above has it

    def load_wsgi(self) -> None:
        """Load the app, and leave it out of every collection of garbage: with Feast it is a million objects."""
        super().load_wsgi()
        gc.freeze()
        gc.set_threshold(*GARBAGE_THRESHOLDS)
