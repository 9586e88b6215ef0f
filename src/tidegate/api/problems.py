"""Errors as RFC 9457 problems: what was wrong, and the next step.

400  the question cannot be answered as it was asked
404  no such stream, no such page
413  the body is too large
422  the body has not the shape of events or items
503  the database is away; Retry-After says when to come back
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, cast

import orjson
import psycopg
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from tidegate.errors import (
    BadRequest,
    DatabaseUnavailable,
    IngestError,
    SchemaMissing,
    TidegateError,
    UnknownStream,
)
from tidegate.log import get_log
from tidegate.stores.server_limits import TooLarge

RETRY_SECONDS = "2"
_STATUS: dict[type[TidegateError], HTTPStatus] = {
    BadRequest: HTTPStatus.BAD_REQUEST,
    IngestError: HTTPStatus.UNPROCESSABLE_ENTITY,
    UnknownStream: HTTPStatus.NOT_FOUND,
    DatabaseUnavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    SchemaMissing: HTTPStatus.SERVICE_UNAVAILABLE,
}
log = get_log("api")


class Problem(BaseModel):
    """What was wrong (RFC 9457)."""

    title: str = Field(description="The kind of problem, the same each time.")
    status: int
    detail: str = Field(description="What was wrong this time.")
    next_step: str = Field("", description="What to do about it.")


def install(app: FastAPI) -> None:
    """Have the app answer every error with a problem."""
    app.add_exception_handler(TidegateError, _from_ours)
    app.add_exception_handler(psycopg.Error, _from_driver)
    app.add_exception_handler(HTTPException, _from_http)
    app.add_exception_handler(RequestValidationError, _from_validation)


def answers(*statuses: HTTPStatus) -> dict[int | str, dict[str, Any]]:
    """Return what OpenAPI says of the problems that a route can answer with."""
    return {int(status): {"model": Problem, "description": status.phrase} for status in statuses}


def problem(status: HTTPStatus, detail: str, next_step: str = "") -> Response:
    """Return a problem as a response."""
    content = Problem(title=status.phrase, status=status, detail=detail, next_step=next_step)
    headers = {"Retry-After": RETRY_SECONDS} if status == HTTPStatus.SERVICE_UNAVAILABLE else None
    body = orjson.dumps(content.model_dump())
    return Response(body, status, headers, media_type="application/problem+json")


def from_error(error: TidegateError) -> Response:
    """Return one of our errors as a response."""
    status = next((_STATUS[kind] for kind in type(error).__mro__ if kind in _STATUS), None)
    return problem(status or HTTPStatus.INTERNAL_SERVER_ERROR, error.cause, error.next_step)


async def _from_ours(_: Request, error: Exception) -> Response:
    return from_error(cast(TidegateError, error))


async def _from_driver(_: Request, error: Exception) -> Response:
    """Answer for what PostgreSQL refuses: a missing table, a missing privilege, or a defect of ours."""
    said = str(error).partition("\n")[0]
    if isinstance(error, psycopg.errors.UndefinedTable | psycopg.errors.InvalidSchemaName):
        return from_error(SchemaMissing(f"The schema is missing or old ({said})."))
    if isinstance(error, psycopg.errors.ReadOnlySqlTransaction):
        return problem(HTTPStatus.SERVICE_UNAVAILABLE, "This server only reads.", "Write to the primary.")
    log.error("PostgreSQL: %s", said)
    return problem(HTTPStatus.INTERNAL_SERVER_ERROR, f"PostgreSQL: {said}", "The server's log says more.")


async def _from_http(_: Request, error: Exception) -> Response:
    error = cast(HTTPException, error)
    if isinstance(error, TooLarge):
        raise error  # `Limits` answers for it
    return problem(HTTPStatus(error.status_code), str(error.detail), "GET /docs lists what there is.")


async def _from_validation(_: Request, error: Exception) -> Response:
    """Answer for a wrong parameter, named by its place."""
    wrong = cast(RequestValidationError, error).errors()
    detail = "; ".join(f"{item['loc'][-1]}: {item['msg'].lower()}" for item in wrong)
    return problem(HTTPStatus.BAD_REQUEST, f"{detail}.", "GET /docs shows what the route takes.")
