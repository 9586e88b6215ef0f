"""The short way of a request for features: plan from memory, one read, JSON from columns."""

from __future__ import annotations

from http import HTTPStatus

import orjson
import psycopg
from feast import FeatureStore, feature_server
from feast import metrics as feast_metrics
from feast.permissions.security_manager import get_security_manager, is_auth_necessary
from psycopg_pool import PoolTimeout
from starlette._utils import get_route_path
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tidegate.stores.online_response import DirectResponse
from tidegate.stores.server_json import encode
from tidegate.stores.server_limits import unavailable
from tidegate.stores.server_requests import ROUTE, Asked, Plan, Plans, read

JSON = b"application/json"


class Direct:
    """An ASGI app before Feast's: it answers what it knows how to, and hands everything else on."""

    def __init__(self, app: ASGIApp, store: FeatureStore) -> None:
        self._app = app
        self._store = store
        self._plans = Plans(store)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if not usual(scope):
            await self._app(scope, receive, send)
            return
        body = await Request(scope, receive).body()
        answer = await self._answer(body)
        if answer is None:
            await self._app(scope, again(body, receive), send)
        else:
            await answer(scope, receive, send)

    async def _answer(self, body: bytes) -> Response | None:
        """Return the answer to a body; None where Feast shall give it, or say what is wrong."""
        asked = read(body)
        plan = None if asked is None else await self._plan(asked)
        if asked is None or plan is None:
            return None
        try:
            with plan.counted(asked.rows):
                return Response(await self._read(asked, plan), HTTPStatus.OK, media_type="application/json")
        except (psycopg.OperationalError, PoolTimeout) as error:
            return unavailable(f"The online store does not answer: {error}")

    async def _plan(self, asked: Asked) -> Plan | None:
        try:
            plan = await self._plans.plan(asked.shape)
        except Exception:  # whatever it is, Feast's route finds it again and answers in its own way
            return None
        return plan if plan.fits(asked.entities) else None

    async def _read(self, asked: Asked, plan: Plan) -> bytes:
        response = await self._store.get_online_features_async(
            features=plan.features, entity_rows=asked.entities, full_feature_names=asked.shape.full_names
        )
        if isinstance(response, DirectResponse):
            return encode(response.vectors)
        return orjson.dumps(feature_server.convert_response_to_dict(response.proto))


def usual(scope: Scope) -> bool:
    """Tell whether a request asks for features in JSON, and needs nobody's permission and no entry in a log."""
    if scope["type"] != "http" or scope["method"] != "POST" or get_route_path(scope) != ROUTE:
        return False
    kinds = [value for name, value in scope["headers"] if name == b"content-type"]
    if len(kinds) != 1 or kinds[0].partition(b";")[0].strip().lower() != JSON:
        return False
    return not (is_auth_necessary(get_security_manager()) or feast_metrics._config.audit_logging)  # noqa: SLF001


def again(body: bytes, receive: Receive) -> Receive:
    """Return a channel that says the body once more, and then what the real one says."""
    said = False

    async def replayed() -> Message:
        nonlocal said
        if said:
            return await receive()
        said = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replayed
