"""The HTTP app: routes, errors and figures put together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool

import tidegate
from tidegate.api import events, features, items, operations, problems, recommendations
from tidegate.api.bodies import LIMIT_BYTES
from tidegate.api.figures import CountRequests, Figures
from tidegate.client import Client
from tidegate.stores.server_limits import Limits

CONNECTIONS = 16
DESCRIPTION = """
Behaviour events in, recommendations out; both are rows of PostgreSQL.

* `POST /events` writes events. What breaks a rule is quarantined with its reason, the others count.
* `GET /recommend/{user_id}` answers from live rows: an event counts from its commit on.
* `/feast` has Feast's own HTTP API, as `feast serve` has it; it opens Feast at the first request.
* Errors are `application/problem+json` (RFC 9457) and end with the next step.
"""


def create_app(client: Client | None = None) -> FastAPI:
    """Return the app. It opens a client of its own when it starts, unless it is given one."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.client = client or await run_in_threadpool(Client, source="http", connections=CONNECTIONS)
        yield
        await app.state.feature_server.close()
        if client is None:
            await run_in_threadpool(app.state.client.close)

    app = FastAPI(title="tidegate", version=tidegate.__version__, description=DESCRIPTION, lifespan=lifespan)
    app.state.figures = Figures()
    app.state.feature_server = features.FeatureServer()
    for part in (events, items, recommendations, operations):
        app.include_router(part.router)
    app.mount(features.PREFIX, app.state.feature_server, name="feast")
    problems.install(app)
    app.add_middleware(Limits, size=LIMIT_BYTES, refuse=problems.problem, elsewhere=features.PREFIX)
    app.add_middleware(CountRequests, figures=app.state.figures)
    return app
