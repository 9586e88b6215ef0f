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

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from feast import FeatureStore, feature_server
from feast import metrics as feast_metrics
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest, values
from prometheus_client.multiprocess import MultiProcessCollector
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from tidegate.stores.online import TidegateOnlineStore
from tidegate.stores.server_direct import Direct
from tidegate.stores.server_limits import LIMIT_BYTES, LIMIT_REQUESTS, Limits, unavailable

REFRESH_SECONDS = 60  # as `feast serve`


def create_app(
    store: FeatureStore,
    *,
    refresh_seconds: int = REFRESH_SECONDS,
    limit_bytes: int = LIMIT_BYTES,
    limit_requests: int = LIMIT_REQUESTS,
) -> FastAPI:
    """Return the app of a store. The registry is read again every `refresh_seconds`, as `feast serve` does."""
    app: FastAPI = feature_server.get_app(store, registry_ttl_sec=refresh_seconds)
    count_everything(store)
    if isinstance(online_store(store), TidegateOnlineStore):
        app.add_middleware(Direct, store=store)  # before Feast's own layers, which cost as much as a read
    app.add_api_route("/metrics", metrics, methods=["GET"], response_class=Response)
    app.add_api_route("/ready", readiness(store), methods=["GET"], response_class=Response)
    app.add_middleware(Limits, size=limit_bytes, requests=limit_requests)
    return app


def online_store(store: FeatureStore) -> Any:
    """Return the online store behind a feature store."""
    return store._get_provider().online_store  # noqa: SLF001  # Feast has no public way to it


def count_everything(store: FeatureStore) -> None:
    """Switch Feast's own figures on, as `feature_server.metrics` in feature_store.yaml says, or all of them."""
    configured = getattr(getattr(store.config, "feature_server", None), "metrics", None)
    feast_metrics._config = feast_metrics.build_metrics_flags(configured)  # noqa: SLF001  # as start_metrics_server does


def metrics() -> Response:
    """Return the figures for Prometheus: those of all workers where several serve."""
    return Response(generate_latest(figures()), media_type=CONTENT_TYPE_LATEST)


def figures() -> CollectorRegistry:
    """Return where the figures are: in files that all workers share, or in this process."""
    if not getattr(values.ValueClass, "_multiprocess", False):
        return REGISTRY
    shared = CollectorRegistry()
    MultiProcessCollector(shared)  # type: ignore[no-untyped-call]
    return shared


def readiness(store: FeatureStore) -> Any:
    """Return the route that tells whether requests can be answered: registry and online store are there."""

    async def ready() -> Response:
        """Tell whether requests can be answered."""
        try:
            await run_in_threadpool(store.registry.list_projects, allow_cache=True)
            await ask(store)
        except Exception as error:
            return unavailable(str(error))
        return Response(status_code=HTTPStatus.OK)

    return ready


async def ask(store: FeatureStore) -> None:
    """Raise where the database of an online store of ours does not answer; other stores are not asked."""
    asked = online_store(store)
    if isinstance(asked, TidegateOnlineStore):
        await asked.connections(store.config).run_async(lambda connection: connection.execute(b"select 1"))
