"""A feature server in the place of `feast serve`: the same routes, the same JSON, an order of magnitude faster.

    from feast import FeatureStore
    from tidegate.stores.server import create_app

    app = create_app(FeatureStore("feature_repo"))

It is Feast's own app with a short way into `POST /get-online-features`. What the short way does not know (on-demand
views, odd bodies, authentication, another online store than ours) goes Feast's way, in the same route. Beside Feast's
routes there are `GET /metrics` and `GET /ready`.

Make the app in the process that serves it: a store that was opened before a fork shares its connections.
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from feast import FeatureStore, feature_server
from feast.infra.passthrough_provider import PassthroughProvider
from feast.permissions.server.utils import (
    ServerType,
    init_auth_manager,
    init_security_manager,
    str_to_auth_manager_type,
)
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from tidegate.stores.online import TidegateOnlineStore
from tidegate.stores.server_direct import Direct
from tidegate.stores.server_figures import count_everything, page, write
from tidegate.stores.server_limits import LIMIT_BYTES, LIMIT_REQUESTS, Limits, said

REFRESH_SECONDS = 60  # as `feast serve`


class FeatureServer:
    """The ASGI app of a store: limits first, then the short way, then Feast's own app.

    The short way lies before Feast's layers, each of which costs a tenth of what a small answer does.
    """

    def __init__(self, feast: FastAPI, app: ASGIApp) -> None:
        self.feast = feast
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        await self._app(scope, receive, send)

    def lifespan(self) -> AbstractAsyncContextManager[Any]:
        """Open and close the store with the app that this one is a part of; a server of its own does it by itself."""
        return self.feast.router.lifespan_context(self.feast)


def create_app(
    store: FeatureStore,
    *,
    refresh_seconds: int = REFRESH_SECONDS,
    limit_bytes: int = LIMIT_BYTES,
    limit_requests: int = LIMIT_REQUESTS,
) -> FeatureServer:
    """Return the app of a store. The registry is read again every `refresh_seconds`, as `feast serve` does.

    Who may do what is asked as feature_store.yaml's `auth` says, which holds for the process: Feast keeps it there.
    """
    authenticate(store)
    feast = feature_server.get_app(store, registry_ttl_sec=refresh_seconds)
    count_everything(store)
    feast.add_api_route("/metrics", metrics, methods=["GET"], response_class=Response)
    feast.add_api_route("/ready", readiness(store), methods=["GET"], response_class=Response)
    online = short_way(store)
    app = feast if online is None else Direct(feast, store, online)
    return FeatureServer(feast, Limits(app, size=limit_bytes, requests=limit_requests))


def authenticate(store: FeatureStore) -> None:
    """Have Feast's routes ask who is there, as `feast serve` does before it serves."""
    kind = str_to_auth_manager_type(store.config.auth_config.type)
    init_security_manager(auth_type=kind, fs=store)
    init_auth_manager(auth_type=kind, server_type=ServerType.REST, auth_config=store.config.auth_config)


def short_way(store: FeatureStore) -> TidegateOnlineStore | None:
    """Return the online store if it is ours, and an answer takes no more than to read it."""
    provider = store._get_provider()  # noqa: SLF001  # Feast has no public way to it
    usual = type(provider).get_online_features_async is PassthroughProvider.get_online_features_async
    plain = usual and store.mlflow is None and not audited(store)
    return provider.online_store if plain and isinstance(provider.online_store, TidegateOnlineStore) else None


def audited(store: FeatureStore) -> bool:
    """Tell whether a layer of Feast's app writes down who asked for what."""
    log = getattr(getattr(store.config, "feature_server", None), "audit_logging", None)
    return bool(getattr(log, "enabled", False))


async def metrics() -> Response:
    """Return the figures for Prometheus."""
    write()
    return Response(await run_in_threadpool(page), media_type=CONTENT_TYPE_LATEST)


def readiness(store: FeatureStore) -> Any:
    """Return the route that tells whether requests can be answered: registry and online store are there."""

    async def ready() -> Response:
        """Tell whether requests can be answered."""
        try:
            await run_in_threadpool(store.registry.list_projects, allow_cache=True)
            await ask(store)
        except Exception as error:
            return said(HTTPStatus.SERVICE_UNAVAILABLE, str(error))
        return Response(status_code=HTTPStatus.OK)

    return ready


async def ask(store: FeatureStore) -> None:
    """Raise where the database of an online store of ours does not answer; other stores are not asked."""
    asked = store._get_provider().online_store  # noqa: SLF001
    if isinstance(asked, TidegateOnlineStore):
        await asked.connections(store.config).run_async(lambda connection: connection.execute(b"select 1"))
