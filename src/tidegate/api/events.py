"""POST /events."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Header, Request
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from tidegate import events
from tidegate.api.bodies import read_rows
from tidegate.api.collaborators import TheClient, TheFigures
from tidegate.api.problems import answers
from tidegate.errors import BadRequest, IngestError

router = APIRouter(tags=["events"])

EVENT = {
    "type": "object",
    "required": list(events.REQUIRED),
    "properties": {
        "user_id": {"type": "string", "maxLength": 256},
        "item_id": {"type": "string", "maxLength": 256},
        "event_type": {"type": "string", "enum": ["view", "click", "cart", "purchase", "rating"]},
        "value": {"type": "number", "description": "Amount of a purchase, stars of a rating."},
        "occurred_at": {
            "description": "ISO 8601 (UTC where no zone is named) or seconds since 1970; now if unsaid.",
            "oneOf": [{"type": "string", "format": "date-time"}, {"type": "number"}],
        },
        "stream": {"type": "string", "default": events.DEFAULT_STREAM},
        "context": {"type": "object", "description": "Whatever else you know."},
        "client_key": {"type": "string", "description": "Your own key of the event: a repeat is dropped."},
    },
    "example": {"user_id": "ada", "item_id": "tea-3", "event_type": "purchase", "value": 4.5},
}
BODY = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"oneOf": [EVENT, {"type": "array", "items": EVENT}]}}},
    }
}


class QuarantinedEvent(BaseModel):
    """An event that was not accepted; it is kept in quarantine."""

    place: int = Field(description="Its index among the events that were sent.")
    reason: str = Field(description="The rule that it broke.")
    event: Any = Field(description="The event as it was sent.")


class Receipt(BaseModel):
    """What became of the events. They are committed when this answer is sent."""

    accepted: int
    quarantined: list[QuarantinedEvent]
    repeated: int = Field(0, description="Dropped: their client key, or the Idempotency-Key, has been seen before.")


@router.post(
    "/events",
    status_code=HTTPStatus.ACCEPTED,
    openapi_extra=BODY,
    responses=answers(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.SERVICE_UNAVAILABLE
    ),
)
async def record(
    request: Request,
    client: TheClient,
    figures: TheFigures,
    idempotency_key: Annotated[
        str | None,
        Header(min_length=1, max_length=256, description="Your own key of the request: sent again, it counts once."),
    ] = None,
) -> Receipt:
    """Write one behaviour event, or a list of up to 10,000, in one transaction.

    An event that breaks a rule is quarantined with its reason and the others are accepted. A body that has
    not the shape of events writes nothing (422).
    """
    given = await read_rows(request, "events")
    try:
        receipt = await run_in_threadpool(client.record, given, batch_key=idempotency_key)
    except BadRequest as error:
        raise IngestError(error.cause, error.next_step) from None
    figures.events.labels("accepted").inc(receipt.accepted)
    figures.events.labels("quarantined").inc(len(receipt.quarantined))
    figures.events.labels("repeated").inc(receipt.repeated)
    return Receipt(
        accepted=receipt.accepted,
        repeated=receipt.repeated,
        quarantined=[
            QuarantinedEvent(place=event.place, reason=event.reason, event=event.event) for event in receipt.quarantined
        ],
    )
