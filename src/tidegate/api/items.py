"""PUT /items."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from tidegate.api.bodies import read_rows
from tidegate.api.collaborators import TheClient
from tidegate.api.problems import answers
from tidegate.errors import BadRequest, IngestError

router = APIRouter(tags=["catalogue"])

ITEM = {
    "type": "object",
    "required": ["item_id"],
    "properties": {
        "item_id": {"type": "string", "maxLength": 256},
        "title": {"type": "string"},
        "category": {"type": "string"},
        "price": {"type": "number", "minimum": 0},
        "attributes": {"type": "object", "description": "Further text for the language model."},
        "available": {"type": "boolean", "description": "False hides the item at once."},
    },
    "example": {"item_id": "tea-3", "title": "Assam, second flush", "category": "tea", "price": 4.5},
}
BODY = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"oneOf": [ITEM, {"type": "array", "items": ITEM}]}}},
    }
}


class RefusedItem(BaseModel):
    """An item that was left out."""

    place: int = Field(description="Its index among the items that were sent.")
    reason: str = Field(description="The rule that it broke.")
    item: Any = Field(description="The item as it was sent.")


class Merged(BaseModel):
    """What became of the items."""

    named: int = Field(description="Different items that were sent.")
    changed: int = Field(description="Of them: new, or different from before.")
    refused: list[RefusedItem]


@router.put(
    "/items",
    openapi_extra=BODY,
    responses=answers(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.SERVICE_UNAVAILABLE
    ),
)
async def put_items(request: Request, client: TheClient) -> Merged:
    """Bring one item or a list into the catalogue; a field that is not sent stays as it is.

    A new item can be recommended from this commit on.
    """
    given = await read_rows(request, "items")
    try:
        merged = await run_in_threadpool(client.put, "items", given)
    except BadRequest as error:
        raise IngestError(error.cause, error.next_step) from None
    return Merged(
        named=merged.named,
        changed=merged.changed,
        refused=[RefusedItem(place=row.place, reason=row.reason, item=row.row) for row in merged.refused],
    )
