"""Feast's feature server under /feast: `POST /feast/get-online-features` and every other route of it.

Importing Feast takes seconds and most processes never need it, so it waits for the first request that does.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool
from starlette.types import Receive, Scope, Send

from tidegate import feature_store
from tidegate.api import problems
from tidegate.errors import TidegateError

if TYPE_CHECKING:
    from tidegate.client import Client

PREFIX = "/feast"


class FeatureServer:
    """Feast's server on the client's database, opened by the first request and closed with the app."""

    path_format = PREFIX  # one label for all its routes in our figures; /feast/metrics tells them apart

    def __init__(self) -> None:
        self._app: Any = None
        self._opening = asyncio.Lock()
        self._closing = AsyncExitStack()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand a request on."""
        if self._app is None:
            try:
                await self._open(scope["app"].state.client)
            except TidegateError as error:
                await problems.from_error(error)(scope, receive, send)
                return
        try:
            await self._app(scope, receive, send)
        finally:
            scope["route"] = self

    async def close(self) -> None:
        """Close the store; the next request opens another."""
        self._app = None
        await self._closing.aclose()

    async def _open(self, client: Client) -> None:
        async with self._opening:
            if self._app is None:
                app = await run_in_threadpool(make_app, client)
                await self._closing.enter_async_context(app.lifespan())
                self._app = app


def make_app(client: Client) -> Any:
    """Return Feast's app on tidegate's definitions. Raises MissingPackage."""
    store = feature_store.open_store(client.database)
    from tidegate.stores.server import create_app

    return create_app(store)
