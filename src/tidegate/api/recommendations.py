"""GET /recommend/{user_id}."""

from __future__ import annotations

from datetime import datetime
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, Field

from tidegate.api.collaborators import TheClient, TheFigures
from tidegate.api.problems import answers
from tidegate.events import DEFAULT_STREAM
from tidegate.recommend import Layer, Recommendation

router = APIRouter(tags=["recommendations"])


class RecommendedItem(BaseModel):
    """One item of an answer."""

    place: int = Field(description="1 is the best.")
    item_id: str
    title: str | None
    category: str | None
    price: float | None
    score: float = Field(description="Comparable within one version.")
    why: str


class Answer(BaseModel):
    """The best items for a user, and what the answer rests on."""

    user_id: str
    stream: str
    layer: Layer = Field(
        description="personal: the version knows the user; session: only newer events do; "
        "popularity: a cold start, nothing is known of the user or nothing is live."
    )
    version_id: int | None = Field(description="The version that answered; null before the first.")
    version_number: int | None
    last_event_at: datetime | None = Field(description="The user's newest event that the answer has seen.")
    items: list[RecommendedItem]


@router.get(
    "/recommend/{user_id:path}",  # a user's name may hold a slash
    responses=answers(HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND, HTTPStatus.SERVICE_UNAVAILABLE),
)
def recommend(
    client: TheClient,
    figures: TheFigures,
    user_id: Annotated[str, Path(description="The user, known or not.", min_length=1, max_length=256)],
    k: Annotated[int, Query(description="How many items.", ge=1, le=1000)] = 10,
    stream: Annotated[str, Query(description="The stream whose live version answers.")] = DEFAULT_STREAM,
) -> Answer:
    """Return the k best items for a user, as of this commit, and log them as an impression.

    An unknown user gets a cold-start answer, which says so in `layer`.
    """
    items = client.recommend(user_id, k, stream)
    answer = as_answer(user_id, stream, items)
    figures.impressions.labels(stream, answer.layer).inc()
    return answer


def as_answer(user_id: str, stream: str, items: list[Recommendation]) -> Answer:
    """Return rows as an answer; what they share is said once."""
    first = items[0] if items else None
    return Answer(
        user_id=user_id,
        stream=stream,
        layer=first.layer if first else "popularity",
        version_id=first.version_id if first else None,
        version_number=first.version_number if first else None,
        last_event_at=first.last_event_at if first else None,
        items=[RecommendedItem.model_validate(item, from_attributes=True) for item in items],
    )
