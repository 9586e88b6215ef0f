"""The short way of a request for features: plan from memory, one read, JSON from columns."""

from __future__ import annotations

from http import HTTPStatus
from time import perf_counter

import psycopg
from feast import FeatureStore
from feast import metrics as feast_metrics
from feast.permissions.security_manager import get_security_manager, is_auth_necessary
from psycopg_pool import PoolTimeout
from starlette._utils import get_route_path
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tidegate.stores.online import TidegateOnlineStore
from tidegate.stores.online_read import Plan as Reading
from tidegate.stores.online_response import PRESENT, Block
from tidegate.stores.server_figures import ROUTE, count_read
from tidegate.stores.server_json import encode
from tidegate.stores.server_limits import said
from tidegate.stores.server_requests import Asked, Plan, Plans, read

JSON = b"application/json"
AWAY = (psycopg.OperationalError, PoolTimeout)  # it is the database's fault


class Direct:
    """An ASGI app before Feast's: it answers what it knows how to, and hands everything else on."""

    def __init__(self, app: ASGIApp, store: FeatureStore, online: TidegateOnlineStore) -> None:
        self._app = app
        self._plans = Plans(store, online)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if not usual(scope):
            await self._app(scope, receive, send)
            return
        body = await whole(receive)
        if body is None:
            return
        try:
            answer = await self._answer(body)
        except AWAY as error:
            refusal = said(HTTPStatus.SERVICE_UNAVAILABLE, f"The online store does not answer: {error}")
            await refusal(scope, receive, send)
            return
        if answer is None:
            await self._app(scope, again(body, receive), send)
        else:
            await sent(answer, send)

    async def _answer(self, body: bytes) -> bytes | None:
        """Return the answer to a body; None where Feast shall give it, or say what is wrong."""
        asked = read(body)
        if asked is None:
            return None
        try:
            plan = await self._plans.plan(asked.shape)
            if plan.reading is None or not plan.fits(asked.entities):
                return None
            return await self._counted(asked, plan, plan.reading)
        except AWAY:
            raise
        except Exception:  # whatever it is, Feast's route finds it again and answers in its own way
            return None

    async def _counted(self, asked: Asked, plan: Plan, reading: Reading) -> bytes:
        began = perf_counter()
        try:
            blocks = await self._plans.read(reading, asked.entities)
        except AWAY:
            plan.figures.count("error", asked.rows, perf_counter() - began)
            raise
        count_read(plan.views, blocks, perf_counter() - began)
        answer = encode([entities(asked, plan), *blocks])
        plan.figures.count("success", asked.rows, perf_counter() - began)
        return answer


def entities(asked: Asked, plan: Plan) -> Block:
    """Return the join keys as the answer shows them: in the request's order, always there, without a time."""
    n = asked.rows
    kinds = [plan.keys[name] for name in asked.entities]
    return Block(list(asked.entities), kinds, list(asked.entities.values()), bytes([PRESENT]) * n, [None] * n)


def usual(scope: Scope) -> bool:
    """Tell whether a request asks for features in JSON, and needs nobody's permission and no entry in a log."""
    if scope["type"] != "http" or scope["method"] != "POST" or get_route_path(scope) != ROUTE:
        return False
    kinds = [value for name, value in scope["headers"] if name == b"content-type"]
    if len(kinds) != 1 or kinds[0].partition(b";")[0].strip().lower() != JSON:
        return False
    return not (is_auth_necessary(get_security_manager()) or feast_metrics._config.audit_logging)  # noqa: SLF001


async def whole(receive: Receive) -> bytes | None:
    """Return a request's body; None where the client went away."""
    message = await receive()
    parts = [message.get("body", b"")]
    while message.get("more_body"):
        message = await receive()
        parts.append(message.get("body", b""))
    return None if message["type"] == "http.disconnect" else b"".join(parts)


async def sent(answer: bytes, send: Send) -> None:
    """Send an answer."""
    headers = [(b"content-length", b"%d" % len(answer)), (b"content-type", JSON)]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": answer})


def again(body: bytes, receive: Receive) -> Receive:
    """Return a channel that says the body once more, and then what the real one says."""
    told = False

    async def replayed() -> Message:
        nonlocal told
        if told:
            return await receive()
        told = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replayed
